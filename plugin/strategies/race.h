// Race: candidates one after the other; who is behind the earlier ones is stopped on the way.
//
// The median stopping rule of Golovin et al., "Google Vizier" (KDD 2017, section 3.2.2): at step s
// a candidate stops if its best preview so far is strictly worse than the median of the running
// averages, up to s, of the candidates that were completed before it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/export.h"
#include "plugin/strategy.h"

namespace bestreel {

struct RaceOptions {
  std::vector<std::uint64_t> seeds;  ///< one candidate each, at least 1, each once
  int steps = 0;                     ///< EngineCapabilities::steps
  std::vector<int> checks;  ///< steps with a preview; empty = at 20, 40 and 60 % of `steps`
  int lag = 0;              ///< steps until a decision takes effect
  std::size_t warm_up = 2;  ///< candidates that are always completed, at least 1
  Selection selection;      ///< of the completed ones, over all judges
};

/// Works on every engine that shows previews. A preview that could not be judged stops nobody.
/// UsageError for options outside their range.
BESTREEL_API StrategyPtr race(RaceOptions options);

}  // namespace bestreel
