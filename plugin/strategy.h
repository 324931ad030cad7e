// Who is made and who goes on: the interface of every search algorithm.
//
// Ask-and-tell, the usual shape of black-box optimisers: the strategy never calls anyone, sees ids,
// steps and scores only, and is deterministic: equal tells give equal asks and answers. That is
// what lets a killed run be resumed by telling it again what was recorded.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/combine.h"
#include "plugin/engine.h"
#include "plugin/noise.h"
#include "plugin/result.h"

namespace bestreel {

/// What a strategy cannot do without; a mismatch is refused before anything runs.
struct Needs {
  Scheduling scheduling = Scheduling::kSequential;  ///< at least
  bool previews = false;
  bool resamples = false;
  std::size_t judges = 1;  ///< at least
  /// Only the first judge judges each finished candidate; others judge where a Review says so.
  /// False: every judge judges every finished candidate.
  bool reviews = false;
};

struct NewTrajectory {
  CandidateId id = 0;  ///< never used before, not negative
  Noise noise = Noise::seed(0);
};

/// A finished candidate to be judged by another judge. Only of one that was never resampled.
struct Review {
  CandidateId id = 0;
  std::size_t judge = 0;
};

/// One wave. At each barrier step b a preview of every candidate is judged; the answer takes effect
/// exactly at b + lag, so that a slow judge overlaps with denoising and the result stays
/// deterministic. The lag is told here and not in the answer: one would have to wait for the answer
/// to learn that one need not wait.
struct Ask {
  std::vector<NewTrajectory> starts;
  std::vector<int> barriers;  ///< ascending; 0 < b, b + lag < the next, b + lag < steps
  int lag = 0;
  std::vector<Review> reviews;
  bool empty() const { return starts.empty() && reviews.empty(); }
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

/// Identity = all go on, a missing id = stop, another's parent = resample.
struct Answer {
  std::vector<Assignment> assignments;
};

/// A candidate that came to its end, with what each judge has said so far. `failure`: it was not
/// made ("budget": the run's limit was reached), and no judge has seen it.
struct Finished {
  CandidateId id = 0;
  std::vector<std::optional<Result>> results;  ///< one per judge
  std::optional<Failure> failure;
};

struct Ranked {
  CandidateId id = 0;
  double reward = 0;
  /// The one judge whose word the reward is, where not all have the same: rewards of different
  /// judges are not comparable. Empty: all judges combined.
  std::optional<std::size_t> judge = std::nullopt;
};

/// Tells come in the order (wave, step, candidate), whatever the order in which results arrive.
class BESTREEL_API Strategy {
 public:
  virtual ~Strategy() = default;

  /// Name and every option: equal ids, equal behaviour. A run is resumed by an equal id only.
  virtual const std::string& id() const = 0;
  virtual const Needs& needs() const = 0;

  /// The next wave. Empty: nothing now. Then all that has ended is told and ask() is called once
  /// more; empty again without a tell in between: done.
  virtual Ask ask() = 0;
  virtual Answer tell(const Barrier& barrier) = 0;
  /// Again for a candidate that was reviewed, with all its results.
  virtual void tell(const Finished& finished) = 0;

  /// Best first; only candidates that were finished and judged. The first is the winner.
  virtual std::vector<Ranked> ranking() const = 0;
};

using StrategyPtr = std::unique_ptr<Strategy>;

/// How several judges become one reward.
struct Selection {
  Combination how = Combination::kWeights;
  std::vector<double> weights;  ///< one per judge; empty = equal
};

/// The judged candidates of `finished` by their combined reward, ties by the lower id.
BESTREEL_API std::vector<Ranked> best_first(const std::vector<Finished>& finished,
                                            const Selection& selection);

/// The scalar of a result; nullopt for a Failure and for a number that is not finite.
BESTREEL_API std::optional<double> reward_of(const Result& result);

/// first, first + 1, ... (n of them).
BESTREEL_API std::vector<std::uint64_t> consecutive_seeds(std::uint64_t first, std::size_t n);

/// UsageError that names both sides where the engine or the judges lack what the strategy needs.
BESTREEL_API void require_match(const Strategy& strategy, const EngineCapabilities& engine,
                                std::size_t judges);

}  // namespace bestreel
