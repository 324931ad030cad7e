#include "plugin/strategies/best_of_n.h"

#include <utility>

#include "plugin/strategies/seeds.h"

namespace bestreel {
namespace {

class BestOfN final : public Strategy {
 public:
  explicit BestOfN(BestOfNOptions options)
      : options_(std::move(options)),
        id_(fmt::format("best-of-n(seeds={},{})",
                        strategies::checked_seeds("best-of-n", options_.seeds),
                        strategies::selection_text(options_.selection))) {}

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  using Strategy::tell;

  Ask ask() override {
    if (std::exchange(asked_, true)) return {};
    return {.starts = strategies::one_per_seed(options_.seeds)};
  }

  void tell(const Finished& finished) override { finished_.push_back(finished); }

  std::vector<Ranked> ranking() const override { return best_first(finished_, options_.selection); }

 private:
  const BestOfNOptions options_;
  const std::string id_;
  const Needs needs_;
  bool asked_ = false;
  std::vector<Finished> finished_;
};

}  // namespace

StrategyPtr best_of_n(BestOfNOptions options) {
  return std::make_unique<BestOfN>(std::move(options));
}

}  // namespace bestreel
