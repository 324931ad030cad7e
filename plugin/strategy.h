// Who is made and who goes on: the interface of every search algorithm.
//
// Ask-and-tell, the usual shape of black-box optimisers: the strategy never calls anyone, sees ids,
// steps and scores only, and is deterministic: equal tells give equal asks and answers. That is
// what lets a killed run be resumed by telling it again what was recorded.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/combine.h"
#include "plugin/engine.h"
#include "plugin/judge.h"
#include "plugin/noise.h"
#include "plugin/result.h"
#include "plugin/state.h"

namespace bestreel {

/// What a strategy cannot do without; a mismatch is refused before anything runs.
struct Needs {
  Scheduling scheduling = Scheduling::kSequential;  ///< at least
  bool previews = false;
  bool lookahead = false;
  bool branching = false;   ///< Starts in the middle, copies, new ids at barriers
  bool stochastic = false;  ///< copies that diverge
  bool renoise = false;
  bool drafts = false;
  bool files = false;      ///< candidates are the files that arrive, and nothing else
  std::size_t judges = 1;  ///< pointwise ones, at least
  bool groupwise = false;  ///< at least one groupwise judge too; without, none is accepted
  /// Asks for judgements of finished candidates (Ask::judgements): their videos stay at hand.
  bool judgements = false;
};

/// A new candidate. All of one Ask begin at one step.
struct NewTrajectory {
  CandidateId id = 0;  ///< never used before, not negative
  /// What is in it was made before: each at() and renoise() goes back to a step to which a
  /// candidate of the run has come. No other id, unless it was dropped or stopped, may have the
  /// same State::trajectory_of().
  State state = Noise::seed(0);
  bool draft = false;  ///< the engine's cheaper trajectory: judged and told, never ranked
  std::string label;   ///< of a finished file: the Arrived that it is
};

/// One judge is to look at candidates that have been told as Finished. A pointwise judge looks at
/// each by itself; a groupwise one at all of them together, in this order.
struct JudgementAsk {
  std::size_t judge = 0;
  std::vector<CandidateId> ids;  ///< each once
};

/// How candidates are shown at barriers, and to whom.
struct PreviewAsk {
  PreviewRequest request;
  std::optional<std::size_t> judge;  ///< nullopt: SessionOptions::preview_judge
};

/// One wave. At each barrier step b a preview of every candidate is judged; the answer takes effect
/// exactly at b + lag, so that a slow judge overlaps with denoising and the result stays
/// deterministic. The lag is told here and not in the answer: one would have to wait for the answer
/// to learn that one need not wait.
struct Ask {
  std::vector<NewTrajectory> starts;
  /// Ascending; the starts' step < b, b + lag < the next, b + lag < steps.
  std::vector<int> barriers;
  int lag = 0;
  PreviewAsk preview;
  std::vector<int> keep_states;  ///< steps whose states are to be kept where there is room: a hint
  /// Who judges each candidate of this wave when it is finished; nullopt: every pointwise judge.
  std::optional<std::vector<std::size_t>> judges;
  std::vector<JudgementAsk> judgements;
  bool empty() const { return starts.empty() && judgements.empty(); }
};

/// The candidates that are alive when the answer takes effect, ascending by id, and what the
/// preview judge said of each at `step`.
struct Barrier {
  struct Entry {
    CandidateId id = 0;
    Result result;
  };
  std::int64_t wave = 0;
  int step = 0;
  std::vector<Entry> candidates;
};

/// Identity = all go on, a missing id = stop, another's parent = copy of its state (branching, and
/// only where fresh noise is still to come: else it would be the same video), a new id = one more.
/// Empty: the wave ends.
struct Answer {
  std::vector<Assignment> assignments;
};

/// A candidate that came to its end, with what Ask::judges have said of it. `failure`: it was not
/// made ("budget": the run's limit was reached), and no judge has seen it.
struct Finished {
  CandidateId id = 0;
  std::vector<std::optional<Result>> results;  ///< one per judge of the run
  std::optional<Failure> failure;
};

/// The answer to one JudgementAsk. A groupwise judge's result depends on the group; who could not
/// be judged has a Failure, and where fewer than two of a group could, all have.
struct Judged {
  std::int64_t wave = 0;
  std::size_t index = 0;  ///< in Ask::judgements
  std::size_t judge = 0;
  std::vector<CandidateId> ids;  ///< as asked
  std::vector<Result> results;   ///< one per id
};

/// A finished file that is to be ranked (EngineCapabilities::steps = 0). One with a label that was
/// there before has changed: what begins from it supersedes the older.
struct Arrived {
  std::string label;   ///< the shortest tail of the path that tells it from the others
  std::string path;    ///< absolute
  std::string sha256;  ///< hexadecimal; empty where it cannot be read
  friend bool operator==(const Arrived&, const Arrived&) = default;
};

struct Ranked {
  CandidateId id = 0;
  double reward = 0;
  /// The one judge whose word the reward is, where not all have the same: rewards of different
  /// judges are not comparable. Empty: all judges combined.
  std::optional<std::size_t> judge = std::nullopt;
};

/// Finished and Judged are told in the order (wave, candidate), (wave, index), whatever the order
/// in which results arrive; a Barrier when all its candidates are judged. A failure of the machine
/// is never told.
class BESTREEL_API Strategy {
 public:
  virtual ~Strategy() = default;

  /// Name and every option: equal ids, equal behaviour. A run is resumed by an equal id only.
  virtual const std::string& id() const = 0;
  virtual const Needs& needs() const = 0;

  /// The next wave. Empty: nothing now. Then all that has ended is told and ask() is called once
  /// more; empty again without a tell in between: done, unless files still arrive.
  virtual Ask ask() = 0;

  // A strategy that overrides some writes `using Strategy::tell`.
  virtual Answer tell(const Barrier&) { return {}; }
  virtual void tell(const Finished& finished) = 0;
  virtual void tell(const Judged&) {}
  virtual void tell(const Arrived&) {}

  /// Best first; only candidates that were finished and judged, no drafts. The first is the winner.
  virtual std::vector<Ranked> ranking() const = 0;
};

using StrategyPtr = std::unique_ptr<Strategy>;

/// How several judges become one reward.
struct Selection {
  Combination how = Combination::kWeights;
  std::vector<double> weights;  ///< one per judge; empty = equal
};

/// The judged candidates of `finished` by their combined reward, ties by their order in it.
BESTREEL_API std::vector<Ranked> best_first(const std::vector<Finished>& finished,
                                            const Selection& selection);

/// The scalar of a result; nullopt for a Failure and for a number that is not finite.
BESTREEL_API std::optional<double> reward_of(const Result& result);

/// first, first + 1, ... (n of them).
BESTREEL_API std::vector<std::uint64_t> consecutive_seeds(std::uint64_t first, std::size_t n);

/// UsageError that names both sides, and the flag that would help, where the engine or the judges
/// lack what the strategy needs.
BESTREEL_API void require_match(const Strategy& strategy, const EngineCapabilities& engine,
                                std::span<const JudgePtr> judges);

}  // namespace bestreel
