// Cascade: the first judge looks at all finished candidates, each later one at the best of those
// before it. Forwards: n T per guidance branch; judgements: n, keep[0], keep[1], ...
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/export.h"
#include "plugin/strategy.h"

namespace bestreel {

struct CascadeOptions {
  std::vector<std::uint64_t> seeds;  ///< one candidate each, at least 1, each once
  std::vector<int> keep;             ///< see check_keep(); one judge more than entries
};

/// Works on every engine. The ranking is that of cascade_order(): the rewards in it are those of
/// each candidate's last judge. UsageError for options outside their range.
BESTREEL_API StrategyPtr cascade(CascadeOptions options);

}  // namespace bestreel
