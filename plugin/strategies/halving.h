// Halving: all begin, and at each rung the better part goes on, judged on previews of the x0
// estimate.
//
// Successive halving (Karnin et al., ICML 2013; Jamieson & Talwalkar, arXiv 1502.07943) with
// denoising steps as the resource. Forwards per guidance branch: sum over rungs of
// n_(j-1) (t_j - t_(j-1)), where a decision counts from the step at which it takes effect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/export.h"
#include "plugin/strategy.h"

namespace bestreel {

struct HalvingOptions {
  std::vector<std::uint64_t> seeds;  ///< one candidate each, at least 1, each once
  int steps = 0;                     ///< EngineCapabilities::steps
  double eta = 2;                    ///< ceil(alive / eta) go on at each rung, above 1
  std::size_t finalists = 1;         ///< never fewer go on, 1..n
  /// Steps at which previews are judged. Empty: as many as lead to `finalists`, spread
  /// geometrically between 32 and 60 % of `steps` (16, 20, 24, 30 of 50 for 16 candidates).
  std::vector<int> rungs;
  int lag = 0;          ///< steps until a decision takes effect
  Selection selection;  ///< of the finalists, over all judges
};

/// What is planned, before anything runs: alive[j] candidates are taken to until[j]; the last entry
/// is the end. Failures only make it cheaper.
struct HalvingPlan {
  std::vector<int> rungs;
  std::vector<std::size_t> alive;
  std::vector<int> until;
  /// In forwards; `forwards_per_step` is EngineCapabilities'.
  BESTREEL_API double forwards(double forwards_per_step) const;
};

/// UsageError for options outside their range, or where so many rungs do not fit into the steps.
BESTREEL_API HalvingPlan halving_plan(const HalvingOptions& options);

/// Needs an engine that advances all candidates together and shows previews. Previews that could
/// not be judged rank last, ties by the lower id. UsageError as halving_plan().
BESTREEL_API StrategyPtr halving(HalvingOptions options);

}  // namespace bestreel
