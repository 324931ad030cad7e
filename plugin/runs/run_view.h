// What a run looks like now: the projection of its events that tables, reports and exports show.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/combine.h"
#include "plugin/cost.h"
#include "plugin/result.h"
#include "plugin/runs/run_store.h"

namespace bestreel {

/// Written once, as the "run" event: what has to be equal for a resume.
struct RunSettings {
  std::string command;            ///< "rank", later "generate"
  std::vector<std::string> argv;  ///< the command to make it again, argv[0] = "bestreel"
  std::string prompt;
  std::vector<std::string> judges;     ///< SPECs as given
  std::vector<std::string> judge_ids;  ///< JudgeInfo::id of each
  Combination combination = Combination::kWeights;
  std::vector<double> weights;
  /// A cascade: how many of those it saw each judge but the last hands on to the next; empty: every
  /// judge judges all, and `combination` says how they become one.
  std::vector<int> keep;
  int top = 0;  ///< how many the table names; 0 = all
  int threads = 0;
  std::string versions;  ///< build, instruction set, library versions, one line
  // Of runs that make their videos; empty for others.
  std::string negative;   ///< negative prompt
  std::string engine;     ///< EngineCapabilities::id
  std::string strategy;   ///< Strategy::id()
  std::string limits;     ///< "max-forwards=240"; empty: none
  bool lossless = false;  ///< each video is kept a second time, without loss
  int judge_threads = 0;  ///< of the judges, where they have other than `threads`; 0: the same
};

/// One video of the run. `results` has one entry per judge, nullopt = not judged yet.
struct Candidate {
  std::string id;        ///< the shortest tail of the path that tells it from the others
  std::string path;      ///< absolute
  std::string sha256;    ///< of the file when it was taken in, hexadecimal; empty if unreadable
  std::string lossless;  ///< absolute path of the copy without loss; empty: none
  std::string lossless_sha256;  ///< of it
  VideoInfo video;              ///< without `times`; frame_count 0 if it could not be opened
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
  std::string noise;  ///< Noise::text()
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
  /// Name and sha256 of each best.<ext> that the run has written, in order.
  std::vector<std::pair<std::string, std::string>> best_files;
  CostTotals ledger;
  bool finished = false;
  double seconds = 0;  ///< wall clock between the first and the last event
};

/// The rules: a candidate is judged by judge j exactly if a "judged" event says so after its last
/// "candidate" event: a video that is taken in again is judged again. Of two judgements by one
/// judge the last counts. The winner is rank 1, also before the end. A run is finished while
/// "finished" is its last event: it may go on after it. Where a strategy has selected
/// ("winner_selected"), its order and rewards are the ranking; in a cascade, the order of
/// cascade_order(). Events of other kinds are passed over. Error "run_foreign" (an event that this
/// version cannot read), with `name` for the run: its file, where the caller knows it.
BESTREEL_API RunView project(const std::vector<Event>& events, const std::string& name = "the run");

/// The run in `directory` as it is now, without its lock. Errors: those of
/// RunStore::open_read_only() and project(), naming the file.
BESTREEL_API RunView read_view(const std::string& directory);

// The events that a ranking consists of. A result that JSON cannot hold, such as a reward that is
// not a number, is kept as its Failure "judge_broken".
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
