// What a run has recorded: one struct a kind, one codec, one version. Everything else (views,
// costs, trajectories, exports, comparisons) is a projection of these.
//
// An event is written once, under its key (kind, wave, step, candidate, judge, index). Names of
// candidates are candidate_name(); in a ranking of files they are the files' labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/combine.h"
#include "plugin/engine.h"
#include "plugin/result.h"
#include "plugin/runs/run_store.h"

namespace bestreel {

/// Written once, as the "run" event: what has to be equal for a resume.
struct RunSettings {
  std::string command;  ///< "rank", "generate", or a host's name
  /// JSON texts of the RunConfig, not interpreted here: what decides the result, and where it was
  /// made. Empty: a host that has none.
  std::string recipe, place;
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

namespace events {

/// "arrived": a finished file, told before the strategy's ask number `ask`.
struct Arrived {
  std::int64_t ask = 0;
  std::string label, path, sha256;
};

/// Who the budget stopped at a wave's opening or at a barrier, and which limit it was.
struct Stop {
  std::string candidate, limit;
};

/// "wave_started": what was asked, and whom the budget did not let begin.
struct WaveStarted {
  struct Start {
    std::string candidate;
    std::string state;  ///< State::text(); empty for a finished file
    std::string label;  ///< of a finished file
    bool draft = false;
  };
  struct Judgements {
    std::size_t judge = 0;
    std::vector<std::string> candidates;
  };
  std::vector<Start> starts;
  std::vector<int> barriers;
  int lag = 0;
  PreviewRequest preview;
  std::size_t preview_judge = 0;
  std::vector<int> keep_states;
  std::vector<std::size_t> judges;  ///< of the finished
  std::vector<Judgements> judgements;
  std::vector<Stop> stopped;
};

/// "steps_done": a candidate has come to the event's step.
struct StepsDone {
  Cost cost;
};

/// "previewed": it was decoded there. `forwards` of the cost are a lookahead's.
struct Previewed {
  std::string path, sha256;  ///< of the video; empty: it could not be decoded
  Cost cost;
};

/// "preview_judged"
struct PreviewJudged {
  std::size_t judge = 0;
  Result result = Failure{};
};

/// "barrier_decided": the answer, at the step where it takes effect, and whom the budget stopped.
struct BarrierDecided {
  struct Assignment {
    std::string candidate, parent;
    std::uint64_t key = 0;
    std::string state;  ///< State::text() of `candidate` from here on
  };
  int barrier = 0;                      ///< the step of the previews
  std::vector<std::string> candidates;  ///< that were alive
  std::vector<Assignment> assignments;
  std::vector<Stop> stopped;
};

/// "decoded": the whole video.
struct Decoded {
  double seconds = 0;
};

/// "candidate": a finished video and its file.
struct Candidate {
  std::string id;
  std::string label;            ///< of a finished file: as it is shown and sorted
  std::string path;             ///< absolute; any bytes
  std::string sha256;           ///< hexadecimal; empty if unreadable
  std::string lossless;         ///< absolute path of the copy without loss; empty: none
  std::string lossless_sha256;  ///< of it
  VideoInfo video;              ///< without `times`; frame_count 0 if it could not be opened
  bool draft = false;
};

/// "judged": a finished video. `index`: 0 by the wave that made it, 1.. of a wave's judgements.
struct Judged {
  std::size_t judge = 0;
  std::size_t index = 0;
  Result result = Failure{};
};

/// "failed": the candidate's end; `cost` of what was not reported before.
struct Failed {
  Cost cost;
  Failure failure;
};

/// "stopped": by a limit, in the middle of its steps.
struct Stopped {
  Cost cost;
  std::string limit;
};

/// "waited": the engine, for judges; of one process.
struct Waited {
  double seconds = 0;
};

/// "redone": what an earlier process, or a state that was not kept, had done before.
struct Redone {
  double forwards = 0;
};

/// "winner_selected": the strategy's ranking, best first.
struct WinnerSelected {
  struct Place {
    std::string candidate;
    double reward = 0;
    std::optional<std::size_t> judge;
  };
  std::vector<Place> order;
};

/// "finished": the event's candidate is the winner.
struct Finished {};

using Body = std::variant<RunSettings, Arrived, WaveStarted, StepsDone, Previewed, PreviewJudged,
                          BarrierDecided, Decoded, Candidate, Judged, Failed, Stopped, Waited,
                          Redone, WinnerSelected, Finished>;

}  // namespace events

/// A decoded event and its place.
struct RunEvent {
  std::int64_t wave = 0;
  std::int64_t step = 0;
  std::string candidate;  ///< empty for events of the whole run
  events::Body body;
  double at = 0;  ///< seconds since the epoch; given by the store
};

/// The version of all of the above, kept in the store: a run of another is refused when it is
/// opened (RunStore, "run_foreign").
inline constexpr int kEventSchema = 2;

/// The row of the store. Texts are UTF-8; other bytes of a path, a prompt or an argument are kept
/// as {"hex": ...}, of sentences become U+FFFD. A result that JSON cannot hold, such as a reward
/// that is not a number, becomes its Failure "judge_broken".
BESTREEL_API Event encode(const RunEvent& event);

/// The inverse. Errors: "run_foreign", for a kind or a body that this version does not write.
BESTREEL_API RunEvent decode(const Event& event);
BESTREEL_API std::vector<RunEvent> decode(const std::vector<Event>& events);

/// "c003 was stopped at step 4 by max-forwards", as a Failure "budget".
BESTREEL_API Failure stopped_failure(const std::string& candidate, std::int64_t step,
                                     const std::string& limit);

}  // namespace bestreel
