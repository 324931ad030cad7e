// What a run looks like now: the projection of its events that tables, reports and exports show.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/cost.h"
#include "plugin/result.h"
#include "plugin/runs/events.h"
#include "plugin/runs/run_store.h"

namespace bestreel {

/// One video of the run. `results` has one entry per judge, nullopt = not judged yet.
struct Candidate {
  std::string id;        ///< candidate_name(); of a finished file its label, Arrived::label
  std::string path;      ///< absolute
  std::string sha256;    ///< of the file when it was taken in, hexadecimal; empty if unreadable
  std::string lossless;  ///< absolute path of the copy without loss; empty: none
  std::string lossless_sha256;  ///< of it
  VideoInfo video;              ///< without `times`; frame_count 0 if it could not be opened
  bool draft = false;           ///< never ranked
  std::vector<std::optional<Result>> results;
  std::optional<double> reward;  ///< combined over the judges; nullopt: failed or not yet judged
  int rank = 0;                  ///< 1 = best; 0 = none
  /// The one judge whose word `reward` is, in a run where not all have the same: such rewards are
  /// compared within a judge alone. Empty: all judges combined.
  std::optional<std::size_t> decided_by;
  /// Of a cascade: why no judge after `decided_by` saw it, a clause such as "judge 1 (pixels) put
  /// it at place 9 of 12, and the best 8 went on"; empty: the last judge has seen it, or a further
  /// one will.
  std::string dropped;
};

/// How one candidate of a generating run was made, finished or not.
struct TrajectoryRecord {
  enum class End { kRunning, kFinished, kDropped, kStopped, kFailed };
  struct Preview {
    std::int64_t step = 0;
    std::string path;  ///< of its video; empty: it could not be shown
    std::optional<Result> result;
  };
  struct Resampling {
    std::int64_t step = 0;
    std::string parent;     ///< whose state it went on from
    std::uint64_t key = 0;  ///< Slot::key
  };

  std::string id;
  std::int64_t wave = 0;
  std::string start;  ///< State::text() of where it began; empty: a finished file
  std::string state;  ///< State::text() of its trajectory now: what a replay evaluates
  bool draft = false;
  End end = End::kRunning;
  std::int64_t step = 0;                ///< how far it came
  std::string reason;                   ///< of kStopped and kFailed, a sentence
  std::vector<Preview> previews;        ///< ascending by step
  std::vector<Resampling> resamplings;  ///< ascending by step
};

struct RunView {
  RunSettings settings;
  std::vector<Candidate> candidates;           ///< best first; failures last; ties by id
  std::string winner;                          ///< id; empty: none
  std::vector<TrajectoryRecord> trajectories;  ///< ascending by (wave, id); of generating runs only
  std::vector<events::Arrived> arrived;        ///< finished files, the newest of each label, by it
  CostTotals ledger;
  bool finished = false;
  double seconds = 0;  ///< wall clock between the first and the last event
};

/// The rules: a candidate is judged by judge j exactly if a "judged" event says so, after its
/// second "candidate" event where it has two: a video that is taken in again is judged again. Of
/// two judgements by one judge that of the later (wave, index) counts. The winner is rank 1, also
/// before the end. A run is finished while "finished" is its last event: it may go on after it.
/// Where a strategy has selected
/// ("winner_selected") and nothing has begun since, its order and rewards are the ranking; before,
/// in a cascade, the order of cascade_table(). Of a file that has arrived again the older candidate
/// is no part of the view. Drafts are never ranked. Errors: "run_foreign" (an event that
/// this version cannot read), "usage" (see combine()).
BESTREEL_API RunView project(const std::vector<Event>& events);

// The events that a ranking consists of.
BESTREEL_API Event run_event(const RunSettings& settings);
BESTREEL_API Event candidate_event(const Candidate& candidate);
BESTREEL_API Event judged_event(const std::string& candidate, std::size_t judge,
                                const Result& result);
BESTREEL_API Event finished_event(const std::string& winner);

enum class ExportFormat { kCsv, kJsonl };

/// Canonical: no clocks, candidates sorted by id, so that a resumed run exports the same bytes.
/// UTF-8; other bytes of a name become U+FFFD. One row or line per candidate: CSV (RFC 4180):
/// video, sha256, (in a run that keeps them: lossless, lossless_sha256), rank, reward, winner, then
/// for each judge its dimensions' score, expected and (if it has one) reference_soft, its reward,
/// failure_code and failure; the names begin with "judgeN." where there are several judges. What is
/// not there is empty. JSONL: the same with "results": for each judge what to_json() writes. Of a
/// cascade both have "judged_by", the id of the judge whose reward it is, and "dropped", the
/// sentence, too.
BESTREEL_API std::string export_run(const RunView& view, ExportFormat format);

}  // namespace bestreel
