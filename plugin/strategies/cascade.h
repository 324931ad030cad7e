// A cascade of judges: the first looks at all candidates, each later one at the best of those that
// the judge before it has seen. Forwards: n T per guidance branch; judgements: n, keep[0], keep[1],
// ...
//
// Scores of different judges are never put on one scale: a candidate that was judged further comes
// before all that were dropped earlier, and only candidates of one last judge are compared by their
// rewards. Verifiers in order of their price, as in Ma et al. (arXiv 2501.09732).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/strategy.h"

namespace bestreel {

struct CascadeOptions {
  std::vector<std::uint64_t> seeds;  ///< one candidate each, at least 1, each once
  std::vector<int> keep;             ///< see check_keep(); one judge more than entries
  bool files = false;                ///< in place of seeds: the finished files that arrive
};

/// Works on every engine. Who survives is computed anew whenever somebody has come: the outcome is
/// that of all at once, whenever each arrived. The ranking is that of cascade_table(): the rewards
/// in it are those of each candidate's last judge. UsageError for options outside their range.
BESTREEL_API StrategyPtr cascade(CascadeOptions options);

/// UsageError "[op]" unless `keep` has one count for every judge but the last, each at least 1 and
/// none larger than the one before it.
BESTREEL_API void check_keep(const std::string& op, std::size_t judges, std::span<const int> keep);

/// rewards[judge][candidate]; nullopt: that judge failed on the candidate, or has not judged it.
using CascadeRewards = std::vector<std::vector<std::optional<double>>>;

struct CascadePlace {
  std::size_t candidate = 0;
  std::size_t judge = 0;  ///< the last that gave it a reward and was to see it
  double reward = 0;      ///< by that judge
};

struct CascadeTable {
  /// survivors[judge]: who is to be seen by it: all by the first; else the best keep[judge - 1] of
  /// those to whom the judge before gave a reward and who were to be seen by that one. Best first;
  /// ties by the lower index. Whom a judge fails on is not replaced.
  std::vector<std::vector<std::size_t>> survivors;
  /// Best first: by the later last judge, then by its reward, then by the lower index. Candidates
  /// without any reward are left out. What a judge said of one that it was not to see (somebody
  /// better has come since) does not count.
  std::vector<CascadePlace> order;
};

BESTREEL_API CascadeTable cascade_table(CascadeRewards rewards, std::span<const int> keep);

}  // namespace bestreel
