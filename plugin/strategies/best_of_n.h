// Best of n: make all, judge all, take the best.
//
// The baseline of all inference-time search ("random search" in Ma et al., arXiv 2501.09732).
// Forwards: n T per guidance branch.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/export.h"
#include "plugin/strategy.h"

namespace bestreel {

struct BestOfNOptions {
  std::vector<std::uint64_t> seeds;  ///< one candidate each, at least 1, each once
  Selection selection;               ///< over all judges
  bool files = false;                ///< in place of seeds: the finished files that arrive
};

/// Works on every engine. UsageError for options outside their range.
BESTREEL_API StrategyPtr best_of_n(BestOfNOptions options);

}  // namespace bestreel
