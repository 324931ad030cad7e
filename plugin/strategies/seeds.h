// Private to the strategies: what most of them begin with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/fail.h"
#include "plugin/strategy.h"

namespace bestreel::strategies {

/// The seeds as text for a strategy's id. UsageError where there is none or one comes twice.
inline std::string checked_seeds(const char* strategy, const std::vector<std::uint64_t>& seeds) {
  if (seeds.empty()) fail_usage(strategy, "n must be at least 1, but got 0");
  std::vector<std::uint64_t> sorted = seeds;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    fail_usage(strategy, "seeds must differ, but {} is given twice: it would be the same video",
               *twice);
  }
  return fmt::format("{}", fmt::join(seeds, "/"));
}

inline std::string selection_text(const Selection& selection) {
  return fmt::format("combine={}/{}",
                     selection.how == Combination::kRankMean ? "rank-mean" : "weights",
                     fmt::join(selection.weights, "/"));
}

inline std::vector<NewTrajectory> one_per_seed(const std::vector<std::uint64_t>& seeds) {
  std::vector<NewTrajectory> starts;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    starts.push_back({static_cast<CandidateId>(i), Noise::seed(seeds[i])});
  }
  return starts;
}

/// UsageError unless the barrier steps `at` ascend inside (0, steps), more than `lag` apart.
inline void check_barriers(const char* strategy, const char* option, const std::vector<int>& at,
                           int lag, int steps) {
  if (lag < 0) fail_usage(strategy, "lag must not be negative, but got {}", lag);
  for (std::size_t i = 0; i < at.size(); ++i) {
    const int next = i + 1 < at.size() ? at[i + 1] : steps;
    if (at[i] < 1 || at[i] + lag >= next) {
      fail_usage(strategy,
                 "{} must ascend between 0 and the {} steps and lie more than the lag of {} apart, "
                 "but got {}",
                 option, steps, lag, fmt::join(at, ","));
    }
  }
}

}  // namespace bestreel::strategies
