// Reading what a VideoScore2 wrote, without guessing. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "reward/videoscore2/profile.h"

namespace bestreel::videoscore2 {

struct ParsedScore {
  std::string dimension;     ///< the profile's name
  std::optional<int> score;  ///< 1..5; nullopt: the final block has no such line
  std::size_t offset = 0;    ///< byte offset of the digit in the text
  /// What the reference's first-match pattern (`<label>:\s*(\d+)` over the whole text) would have
  /// read instead; nullopt where it finds nothing.
  std::optional<std::string> first_match;
};

struct ParsedAnswer {
  std::string rationale;  ///< between the first <think> and the last </think>
  bool has_think_end = false;
  std::vector<ParsedScore> scores;  ///< one per dimension of the profile, in its order
  bool complete = false;            ///< every dimension has a score
  bool first_match_differs = false;
  std::vector<std::string> remarks;  ///< sentences: what was odd, what is missing
};

/// Anchored: only what follows the last </think> counts. Reads `(1) visual quality: 4`, descriptor
/// forms (`(1) visual quality – clarity, smoothness: 3`), bold, `3/5`, doubled tags, curly quotes.
BESTREEL_API ParsedAnswer parse_answer(std::string_view text, const Profile& profile);

}  // namespace bestreel::videoscore2
