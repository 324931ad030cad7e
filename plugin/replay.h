// Makes one candidate of a run again, from what the run recorded of it.
#pragma once

#include <string>

#include "core/base/export.h"
#include "plugin/session.h"

namespace bestreel {

struct Replayed {
  std::string path;       ///< what `keep` wrote
  std::string sha256;     ///< of it
  bool recorded = false;  ///< the run holds a file of this candidate to compare with
  bool equal = false;     ///< and it has the same bytes
  /// Not equal: what differs between then and now, such as "its version was A and is now B"; empty
  /// where nothing does, and then the engine is not deterministic.
  std::string difference;
};

/// Candidate `id` of the run in `directory`, brought to its end by `engine` and written by `keep`
/// under its name, from the text of its State. One that was
/// dropped, stopped or failed on the way is brought to its end as well, without anything to compare
/// with. Nothing in the run is changed, unless `keep` writes there. `now`: the settings of this
/// process. Errors: "candidate_missing", the candidate's own failure, those of RunStore, the engine
/// and `keep`.
BESTREEL_API Replayed replay(const std::string& directory, CandidateId id, Engine& engine,
                             const RunSettings& now, const VideoSink& keep);

}  // namespace bestreel
