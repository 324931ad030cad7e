// One reward from several judges.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

enum class Combination {
  kRankMean,  ///< mean over judges of the candidate's rank; free of the judges' scales
  kWeights,   ///< weighted mean of the rewards; for judges that share a scale
};

/// rewards[judge][candidate]; nullopt where that judge failed: then the candidate has no combined
/// reward. `weights` has one positive entry per judge, or is empty for equal weights; it applies
/// to both combinations. UsageError where shapes differ or a number is not finite.
///
/// kRankMean follows the verifier ensemble of Ma et al. (arXiv 2501.09732): ranks among the
/// candidates that every judge could judge, ties share their mean rank. It is returned as
/// (n - mean rank) / (n - 1), so 1 = first everywhere and 0 = last everywhere (1 when n = 1).
BESTREEL_API std::vector<std::optional<double>> combine(
    Combination how, const std::vector<std::vector<std::optional<double>>>& rewards,
    std::span<const double> weights = {});

}  // namespace bestreel
