#include "plugin/strategies/cascade.h"

#include <map>
#include <utility>

#include "plugin/cascade.h"
#include "plugin/strategies/seeds.h"

namespace bestreel {
namespace {

class Cascade final : public Strategy {
 public:
  explicit Cascade(CascadeOptions options)
      : options_(std::move(options)),
        id_(fmt::format("cascade(seeds={},keep={})",
                        strategies::checked_seeds("cascade", options_.seeds),
                        fmt::join(options_.keep, ","))),
        needs_{.judges = options_.keep.size() + 1, .judgements = true} {
    check_keep("cascade", needs_.judges, options_.keep);
  }

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  using Strategy::tell;

  Ask ask() override {
    if (!std::exchange(asked_, true)) {
      return {.starts = strategies::one_per_seed(options_.seeds), .judges = {{0}}};
    }
    // A stage begins when all of the one before are told; until then ask() is answered with
    // nothing.
    if (finished_.empty() || waiting_ || next_ > options_.keep.size()) return {};
    const auto [ids, rewards] = table();
    JudgementAsk next{.judge = next_++};
    for (const std::size_t c : cascade_survivors(rewards, options_.keep, next.judge)) {
      next.ids.push_back(ids[c]);
    }
    waiting_ = !next.ids.empty();
    if (!waiting_) return {};
    return {.judgements = {std::move(next)}};
  }

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
    if (finished_.empty()) return {};
    const auto [ids, rewards] = table();
    std::vector<Ranked> ranked;
    for (const CascadePlace& place : cascade_order(rewards)) {
      ranked.push_back({ids[place.candidate], place.reward, place.judge});
    }
    return ranked;
  }

 private:
  std::pair<std::vector<CandidateId>, CascadeRewards> table() const {
    std::vector<CandidateId> ids;
    CascadeRewards rewards(needs_.judges);
    for (const auto& [id, finished] : finished_) {
      ids.push_back(id);
      for (std::size_t j = 0; j < rewards.size(); ++j) {
        const auto& result = finished.results.at(j);
        rewards[j].push_back(result ? reward_of(*result) : std::nullopt);
      }
    }
    return {std::move(ids), std::move(rewards)};
  }

  const CascadeOptions options_;
  const std::string id_;
  const Needs needs_;
  bool asked_ = false, waiting_ = false;
  std::size_t next_ = 1;  // the judge whose turn it is
  std::map<CandidateId, Finished> finished_;
};

}  // namespace

StrategyPtr cascade(CascadeOptions options) {
  return std::make_unique<Cascade>(std::move(options));
}

}  // namespace bestreel
