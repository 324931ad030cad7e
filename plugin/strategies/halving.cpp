#include "plugin/strategies/halving.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "plugin/strategies/seeds.h"

namespace bestreel {
namespace {

std::size_t survivors(std::size_t alive, const HalvingOptions& options) {
  const double kept = std::ceil(static_cast<double>(alive) / options.eta);
  return std::min(alive, std::max(options.finalists, static_cast<std::size_t>(kept)));
}

/// As many rungs as lead from n to the finalists, geometrically from 32 to 60 % of the steps: early
/// previews are cheap to act on, late ones are to be trusted.
std::vector<int> default_rungs(const HalvingOptions& options) {
  std::size_t count = 0;
  for (std::size_t alive = options.seeds.size(); alive > options.finalists; ++count) {
    const std::size_t next = survivors(alive, options);
    if (next == alive) {
      fail_usage("halving", "eta must let fewer than {} of {} go on, but got {}: raise it", alive,
                 alive, options.eta);
    }
    alive = next;
  }
  std::vector<int> rungs;
  for (std::size_t j = 0; j < count; ++j) {
    const double at = count == 1 ? 0.5 : static_cast<double>(j) / static_cast<double>(count - 1);
    const double share = 0.32 * std::pow(0.60 / 0.32, at);
    const int step = static_cast<int>(std::lround(share * options.steps));
    const int earliest = (rungs.empty() ? 0 : rungs.back() + options.lag) + 1;
    rungs.push_back(std::max(step, earliest));
  }
  return rungs;
}

class Halving final : public Strategy {
 public:
  explicit Halving(HalvingOptions options)
      : options_(std::move(options)),
        plan_(halving_plan(options_)),
        id_(fmt::format("halving(seeds={},steps={},eta={},finalists={},rungs={},lag={},{})",
                        strategies::checked_seeds("halving", options_.seeds), options_.steps,
                        options_.eta, options_.finalists, fmt::join(plan_.rungs, "/"), options_.lag,
                        strategies::selection_text(options_.selection))) {}

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  using Strategy::tell;

  Ask ask() override {
    if (std::exchange(asked_, true)) return {};
    return {.starts = strategies::one_per_seed(options_.seeds),
            .barriers = plan_.rungs,
            .lag = options_.lag};
  }

  Answer tell(const Barrier& barrier) override {
    const auto rung = static_cast<std::size_t>(
        std::find(plan_.rungs.begin(), plan_.rungs.end(), barrier.step) - plan_.rungs.begin());
    std::vector<std::pair<std::optional<double>, CandidateId>> order;
    for (const Barrier::Entry& each : barrier.candidates) {
      order.emplace_back(reward_of(each.result), each.id);
    }
    // nullopt is less than every reward.
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    // By the plan, not by who is left: a candidate that failed makes room for the next.
    order.resize(std::min(order.size(), plan_.alive.at(rung + 1)));
    Answer answer;
    for (const auto& [reward, id] : order) answer.assignments.push_back({.id = id, .parent = id});
    return answer;
  }

  void tell(const Finished& finished) override { finished_.push_back(finished); }

  std::vector<Ranked> ranking() const override { return best_first(finished_, options_.selection); }

 private:
  const HalvingOptions options_;
  const HalvingPlan plan_;
  const std::string id_;
  const Needs needs_{.scheduling = Scheduling::kLockstep, .previews = true};
  bool asked_ = false;
  std::vector<Finished> finished_;
};

}  // namespace

double HalvingPlan::forwards(double forwards_per_step) const {
  double steps = 0;
  int from = 0;
  for (std::size_t j = 0; j < alive.size(); ++j) {
    steps += static_cast<double>(alive[j]) * (until[j] - from);
    from = until[j];
  }
  return steps * forwards_per_step;
}

HalvingPlan halving_plan(const HalvingOptions& options) {
  const std::size_t n = options.seeds.size();
  if (n == 0) fail_usage("halving", "n must be at least 1, but got 0");
  if (!(options.eta > 1) || !std::isfinite(options.eta)) {
    fail_usage("halving", "eta must be above 1, but got {}", options.eta);
  }
  if (options.finalists < 1 || options.finalists > n) {
    fail_usage("halving", "finalists must be between 1 and n = {}, but got {}", n,
               options.finalists);
  }
  HalvingPlan plan;
  plan.rungs = options.rungs.empty() ? default_rungs(options) : options.rungs;
  strategies::check_barriers("halving", "rungs", plan.rungs, options.lag, options.steps);
  plan.alive.push_back(n);
  for (const int rung : plan.rungs) {
    plan.until.push_back(rung + options.lag);
    plan.alive.push_back(survivors(plan.alive.back(), options));
  }
  plan.until.push_back(options.steps);
  return plan;
}

StrategyPtr halving(HalvingOptions options) {
  return std::make_unique<Halving>(std::move(options));
}

}  // namespace bestreel
