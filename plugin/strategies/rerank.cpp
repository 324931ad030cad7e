#include "plugin/strategies/rerank.h"

#include <algorithm>
#include <map>
#include <utility>

#include "plugin/strategies/seeds.h"

namespace bestreel {
namespace {

constexpr std::size_t kCheap = 0, kExpensive = 1;

class Rerank final : public Strategy {
 public:
  explicit Rerank(RerankOptions options)
      : options_(std::move(options)),
        id_(fmt::format("rerank(seeds={},keep={})",
                        strategies::checked_seeds("rerank", options_.seeds), options_.keep)) {
    if (options_.keep < 1 || options_.keep > options_.seeds.size()) {
      fail_usage("rerank", "keep must be between 1 and n = {}, but got {}", options_.seeds.size(),
                 options_.keep);
    }
  }

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  using Strategy::tell;

  Ask ask() override {
    if (!std::exchange(asked_, true)) {
      return {.starts = strategies::one_per_seed(options_.seeds), .judges = {{kCheap}}};
    }
    if (finished_.empty() || std::exchange(asked_again_, true)) return {};
    std::vector<Ranked> cheap = by(kCheap);
    cheap.resize(std::min(cheap.size(), options_.keep));
    JudgementAsk best{.judge = kExpensive};
    for (const Ranked& each : cheap) best.ids.push_back(each.id);
    if (best.ids.empty()) return {};
    return {.judgements = {std::move(best)}};
  }

  void tell(const Finished& finished) override { finished_[finished.id] = finished; }
  void tell(const Judged& judged) override {
    for (std::size_t i = 0; i < judged.ids.size(); ++i) {
      finished_.at(judged.ids[i]).results.at(judged.judge) = judged.results[i];
    }
  }

  std::vector<Ranked> ranking() const override {
    std::vector<Ranked> ranked = by(kExpensive);
    for (const Ranked& each : by(kCheap)) {
      if (std::none_of(ranked.begin(), ranked.end(),
                       [&](const Ranked& expensive) { return expensive.id == each.id; })) {
        ranked.push_back(each);
      }
    }
    return ranked;
  }

 private:
  std::vector<Ranked> by(std::size_t judge) const {
    std::vector<Finished> column;
    for (const auto& [id, finished] : finished_) {
      column.push_back({id, {finished.results.at(judge)}, finished.failure});
    }
    std::vector<Ranked> ranked = best_first(column, {});
    for (Ranked& each : ranked) each.judge = judge;
    return ranked;
  }

  const RerankOptions options_;
  const std::string id_;
  const Needs needs_{.judges = 2, .judgements = true};
  bool asked_ = false, asked_again_ = false;
  std::map<CandidateId, Finished> finished_;
};

}  // namespace

StrategyPtr rerank(RerankOptions options) { return std::make_unique<Rerank>(std::move(options)); }

}  // namespace bestreel
