// Rerank: a cheap judge looks at all, a expensive judge at the best k of them.
//
// Cheap verifiers as filters for expensive ones, as in Ma et al. (arXiv 2501.09732); with k = n it
// is best-of-n by the expensive judge. Forwards: n T per guidance branch; judgements: n cheap and k
// expensive.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/export.h"
#include "plugin/strategy.h"

namespace bestreel {

struct RerankOptions {
  std::vector<std::uint64_t> seeds;  ///< one candidate each, at least 1, each once
  std::size_t keep = 2;              ///< how many the expensive judge sees, 1..n
};

/// Works on every engine. Judge 0 is the cheap one, judge 1 the expensive one, whose word counts:
/// those it judged come first, by its reward; the others follow by the cheap judge's. Where the
/// expensive judge fails, a candidate keeps its place among the others. UsageError for options
/// outside their range.
BESTREEL_API StrategyPtr rerank(RerankOptions options);

}  // namespace bestreel
