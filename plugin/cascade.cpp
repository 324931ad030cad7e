#include "plugin/cascade.h"

#include <algorithm>
#include <numeric>

#include "core/base/fail.h"

namespace bestreel {
namespace {

/// Those with a reward, best first.
std::vector<std::size_t> by_reward(const std::vector<std::optional<double>>& rewards) {
  std::vector<std::size_t> order;
  for (std::size_t c = 0; c < rewards.size(); ++c) {
    if (rewards[c]) order.push_back(c);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return *rewards[a] > *rewards[b]; });
  return order;
}

}  // namespace

void check_keep(const std::string& op, std::size_t judges, std::span<const int> keep) {
  if (judges < 2) {
    fail_usage(op,
               "a cascade needs at least two judges, but got {}: give --judge for each, the "
               "cheapest first, "
               "or leave --cascade out",
               judges);
  }
  if (keep.size() + 1 != judges) {
    fail_usage(
        op,
        "cascade must have one count for every judge but the last, so {} for {} judges, but got {}",
        judges - 1, judges, fmt::join(keep, ","));
  }
  for (std::size_t i = 0; i < keep.size(); ++i) {
    if (keep[i] < 1)
      fail_usage(op, "cascade must be counts of at least 1, but got {}", fmt::join(keep, ","));
    if (i > 0 && keep[i] > keep[i - 1]) {
      fail_usage(op,
                 "cascade must not grow from judge to judge, but got {}: the later judge sees only "
                 "what the "
                 "earlier one kept",
                 fmt::join(keep, ","));
    }
  }
}

std::vector<std::size_t> cascade_survivors(const CascadeRewards& rewards, std::span<const int> keep,
                                           std::size_t judge) {
  if (judge == 0) {
    std::vector<std::size_t> all(rewards.front().size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
  }
  std::vector<std::size_t> best = by_reward(rewards[judge - 1]);
  best.resize(std::min(best.size(), static_cast<std::size_t>(keep[judge - 1])));
  return best;
}

std::vector<CascadePlace> cascade_order(const CascadeRewards& rewards) {
  std::vector<CascadePlace> order;
  if (rewards.empty()) return order;
  std::vector<bool> placed(rewards.front().size(), false);
  for (std::size_t judge = rewards.size(); judge-- > 0;) {
    for (const std::size_t c : by_reward(rewards[judge])) {
      if (placed[c]) continue;
      placed[c] = true;
      order.push_back({c, judge, *rewards[judge][c]});
    }
  }
  return order;
}

}  // namespace bestreel
