#include "plugin/strategies/race.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "plugin/strategies/seeds.h"

namespace bestreel {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

RaceOptions checked(RaceOptions options) {
  if (options.warm_up < 1) fail_usage("race", "warm-up must be at least 1, but got 0");
  if (options.checks.empty()) {
    for (const double share : {0.2, 0.4, 0.6}) {
      const int step = static_cast<int>(std::lround(share * options.steps));
      const int last = options.checks.empty() ? 0 : options.checks.back();
      // Few steps have room for fewer checks.
      if (step > last + options.lag && step + options.lag < options.steps) {
        options.checks.push_back(step);
      }
    }
  }
  strategies::check_barriers("race", "checks", options.checks, options.lag, options.steps);
  return options;
}

class Race final : public Strategy {
 public:
  explicit Race(RaceOptions options)
      : options_(checked(std::move(options))),
        id_(fmt::format("race(seeds={},steps={},checks={},lag={},warm-up={},{})",
                        strategies::checked_seeds("race", options_.seeds), options_.steps,
                        fmt::join(options_.checks, "/"), options_.lag, options_.warm_up,
                        strategies::selection_text(options_.selection))) {}

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  using Strategy::tell;

  Ask ask() override {
    // Who failed before its first check is nobody to compare with.
    if (!stopped_ && !seen_.empty()) completed_.push_back(seen_);
    seen_.clear();
    stopped_ = false;
    if (next_ >= options_.seeds.size()) {
      next_ = 0;  // the last one is counted once
      asked_all_ = true;
    }
    if (asked_all_) return {};
    const auto id = static_cast<CandidateId>(next_);
    return {.starts = {{id, Noise::seed(options_.seeds[next_++])}},
            .barriers = options_.checks,
            .lag = options_.lag};
  }

  Answer tell(const Barrier& barrier) override {
    const CandidateId id = barrier.candidates.front().id;
    if (const auto reward = reward_of(barrier.candidates.front().result)) {
      seen_[barrier.step] = *reward;
    }
    stopped_ = behind(barrier.step);
    if (stopped_) return {};
    return {{{.id = id, .parent = id}}};
  }

  void tell(const Finished& finished) override { finished_.push_back(finished); }

  std::vector<Ranked> ranking() const override { return best_first(finished_, options_.selection); }

 private:
  using Rewards = std::map<int, double>;  ///< of the previews, by step

  bool behind(int step) const {
    if (completed_.size() < options_.warm_up || seen_.empty()) return false;
    std::vector<double> averages;
    for (const Rewards& earlier : completed_) {
      std::vector<double> until;
      for (const auto& [at, reward] : earlier) {
        if (at <= step) until.push_back(reward);
      }
      if (until.empty()) continue;
      averages.push_back(std::accumulate(until.begin(), until.end(), 0.0) /
                         static_cast<double>(until.size()));
    }
    if (averages.empty()) return false;
    double best = seen_.begin()->second;
    for (const auto& [at, reward] : seen_) best = std::max(best, reward);
    return best < median(averages);
  }

  const RaceOptions options_;
  const std::string id_;
  const Needs needs_{.previews = true};
  std::size_t next_ = 0;
  bool asked_all_ = false, stopped_ = false;
  Rewards seen_;                    ///< of the candidate that runs
  std::vector<Rewards> completed_;  ///< of those that were not stopped by the rule
  std::vector<Finished> finished_;
};

}  // namespace

StrategyPtr race(RaceOptions options) { return std::make_unique<Race>(std::move(options)); }

}  // namespace bestreel
