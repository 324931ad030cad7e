// A cascade of judges: the first looks at all candidates, each later one at the best of those that
// the judge before it has seen. Pure arithmetic, shared by rankings, strategies and views.
//
// Scores of different judges are never put on one scale: a candidate that was judged further comes
// before all that were dropped earlier, and only candidates of one last judge are compared by their
// rewards. Verifiers in order of their price, as in Ma et al. (arXiv 2501.09732).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

/// rewards[judge][candidate]; nullopt: that judge failed on the candidate, or has not judged it.
using CascadeRewards = std::vector<std::vector<std::optional<double>>>;

/// UsageError "[op]" unless `keep` has one count for every judge but the last, each at least 1 and
/// none larger than the one before it.
BESTREEL_API void check_keep(const std::string& op, std::size_t judges, std::span<const int> keep);

/// Who is to be seen by `judge`: all for the first; else the best keep[judge - 1] of those to whom
/// the judge before gave a reward. Best first; ties by the lower index. Whom a judge fails on is
/// not replaced.
BESTREEL_API std::vector<std::size_t> cascade_survivors(const CascadeRewards& rewards,
                                                        std::span<const int> keep,
                                                        std::size_t judge);

struct CascadePlace {
  std::size_t candidate = 0;
  std::size_t judge = 0;  ///< the last that gave it a reward
  double reward = 0;      ///< by that judge
};

/// Best first: by the later last judge, then by its reward, then by the lower index. Candidates
/// without any reward are left out.
BESTREEL_API std::vector<CascadePlace> cascade_order(const CascadeRewards& rewards);

}  // namespace bestreel
