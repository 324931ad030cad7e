#include "plugin/combine.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/fail.h"

namespace bestreel {
namespace {

/// Ranks from 1 (largest); ties share the mean of the ranks they take.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  std::vector<double> result(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first;
    while (last + 1 < order.size() && values[order[last + 1]] == values[order[first]]) ++last;
    const double mean = (static_cast<double>(first) + static_cast<double>(last)) / 2 + 1;
    for (std::size_t i = first; i <= last; ++i) result[order[i]] = mean;
    first = last + 1;
  }
  return result;
}

}  // namespace

std::vector<std::optional<double>> combine(
    Combination how, const std::vector<std::vector<std::optional<double>>>& rewards,
    std::span<const double> weights) {
  if (rewards.empty()) return {};
  if (!weights.empty() && weights.size() != rewards.size()) {
    fail_usage("combine", "weights must have one entry per judge ({}), but got {}", rewards.size(),
               weights.size());
  }
  for (const double weight : weights) {
    if (!(weight > 0) || !std::isfinite(weight)) {
      fail_usage("combine", "weights must be positive and finite, but got {}", weight);
    }
  }
  const std::size_t candidates = rewards.front().size();
  for (const auto& judge : rewards) {
    if (judge.size() != candidates) {
      fail_usage("combine", "every judge must have {} rewards, but one has {}", candidates,
                 judge.size());
    }
    for (const auto& reward : judge) {
      if (reward && !std::isfinite(*reward)) {
        fail_usage("combine",
                   "rewards must be finite, but got {}: give a judge that failed no reward",
                   *reward);
      }
    }
  }
  // One judge's weight cancels, but r * w / w need not be r to the last bit.
  if (rewards.size() == 1) weights = {};

  std::vector<std::size_t> complete;
  for (std::size_t c = 0; c < candidates; ++c) {
    if (std::all_of(rewards.begin(), rewards.end(),
                    [&](const auto& r) { return r[c].has_value(); })) {
      complete.push_back(c);
    }
  }
  std::vector<double> sums(complete.size(), 0.0);
  double total = 0;
  for (std::size_t j = 0; j < rewards.size(); ++j) {
    std::vector<double> values;
    for (const std::size_t c : complete) values.push_back(*rewards[j][c]);
    if (how == Combination::kRankMean) values = ranks(values);
    const double weight = weights.empty() ? 1.0 : weights[j];
    for (std::size_t i = 0; i < values.size(); ++i) sums[i] += weight * values[i];
    total += weight;
  }
  std::vector<std::optional<double>> result(candidates);
  const auto n = static_cast<double>(complete.size());
  for (std::size_t i = 0; i < complete.size(); ++i) {
    const double mean = sums[i] / total;
    result[complete[i]] = how == Combination::kWeights ? mean : n > 1 ? (n - mean) / (n - 1) : 1.0;
  }
  return result;
}

}  // namespace bestreel
