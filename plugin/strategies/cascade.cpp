#include "plugin/strategies/cascade.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "core/base/fail.h"
#include "plugin/strategies/entrants.h"

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

class Cascade final : public Strategy {
 public:
  explicit Cascade(CascadeOptions options)
      : keep_(std::move(options.keep)),
        entrants_("cascade", options.seeds, options.files),
        id_(fmt::format("cascade({},keep={})", entrants_.text(), fmt::join(keep_, ","))),
        needs_{.files = options.files, .judges = keep_.size() + 1, .judgements = true} {
    check_keep("cascade", needs_.judges, keep_);
  }

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  using Strategy::tell;

  Ask ask() override {
    std::vector<NewTrajectory> starts = entrants_.fresh();
    if (!starts.empty()) {
      waiting_ = true;
      return {.starts = std::move(starts), .judges = {{0}}};
    }
    // A stage begins when all of the one before are told; until then ask() is answered with
    // nothing.
    if (waiting_) return {};
    const auto [ids, table] = this->table();
    for (std::size_t judge = 1; judge < needs_.judges; ++judge) {
      JudgementAsk next{.judge = judge};
      for (const std::size_t c : table.survivors[judge]) {
        if (!finished_.at(ids[c]).results.at(judge)) next.ids.push_back(ids[c]);
      }
      if (next.ids.empty()) continue;
      waiting_ = true;
      return {.judgements = {std::move(next)}};
    }
    return {};
  }

  void tell(const Arrived& file) override { entrants_.tell(file); }

  void tell(const Finished& finished) override {
    finished_[finished.id] = finished;
    waiting_ = false;
  }

  void tell(const Judged& judged) override {
    for (std::size_t i = 0; i < judged.ids.size(); ++i) {
      finished_.at(judged.ids[i]).results.at(judged.judge) = judged.results[i];
    }
    waiting_ = false;
  }

  std::vector<Ranked> ranking() const override {
    const auto [ids, table] = this->table();
    std::vector<Ranked> ranked;
    for (const CascadePlace& place : table.order) {
      ranked.push_back({ids[place.candidate], place.reward, place.judge});
    }
    return ranked;
  }

 private:
  std::pair<std::vector<CandidateId>, CascadeTable> table() const {
    std::vector<CandidateId> ids;
    CascadeRewards rewards(needs_.judges);
    for (const CandidateId id : entrants_.current()) {
      const auto finished = finished_.find(id);
      if (finished == finished_.end()) continue;
      ids.push_back(id);
      for (std::size_t j = 0; j < rewards.size(); ++j) {
        const auto& result = finished->second.results.at(j);
        rewards[j].push_back(result ? reward_of(*result) : std::nullopt);
      }
    }
    return {std::move(ids), cascade_table(std::move(rewards), keep_)};
  }

  const std::vector<int> keep_;
  strategies::Entrants entrants_;
  const std::string id_;
  const Needs needs_;
  bool waiting_ = false;
  std::map<CandidateId, Finished> finished_;
};

}  // namespace

StrategyPtr cascade(CascadeOptions options) {
  return std::make_unique<Cascade>(std::move(options));
}

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

CascadeTable cascade_table(CascadeRewards rewards, std::span<const int> keep) {
  CascadeTable table;
  if (rewards.empty()) return table;
  const std::size_t n = rewards.front().size();
  for (std::size_t judge = 0; judge < rewards.size(); ++judge) {
    std::vector<std::size_t> survivors(n);
    if (judge == 0) {
      std::iota(survivors.begin(), survivors.end(), std::size_t{0});
    } else {
      survivors = by_reward(rewards[judge - 1]);
      survivors.resize(std::min(survivors.size(), static_cast<std::size_t>(keep[judge - 1])));
      std::vector<std::optional<double>> counted(n);
      for (const std::size_t c : survivors) counted[c] = rewards[judge][c];
      rewards[judge] = std::move(counted);
    }
    table.survivors.push_back(std::move(survivors));
  }
  std::vector<bool> placed(n, false);
  for (std::size_t judge = rewards.size(); judge-- > 0;) {
    for (const std::size_t c : by_reward(rewards[judge])) {
      if (placed[c]) continue;
      placed[c] = true;
      table.order.push_back({c, judge, *rewards[judge][c]});
    }
  }
  return table;
}

}  // namespace bestreel
