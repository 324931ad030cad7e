#include "plugin/strategies/best_of_n.h"

#include <map>
#include <utility>

#include "plugin/strategies/entrants.h"

namespace bestreel {
namespace {

class BestOfN final : public Strategy {
 public:
  explicit BestOfN(BestOfNOptions options)
      : selection_(std::move(options.selection)),
        entrants_("best-of-n", options.seeds, options.files),
        id_(fmt::format("best-of-n({},{})", entrants_.text(),
                        strategies::selection_text(selection_))),
        needs_{.files = options.files} {}

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  using Strategy::tell;

  Ask ask() override { return {.starts = entrants_.fresh()}; }

  void tell(const Arrived& file) override { entrants_.tell(file); }
  void tell(const Finished& finished) override { finished_[finished.id] = finished; }

  std::vector<Ranked> ranking() const override {
    std::vector<Finished> column;
    for (const CandidateId id : entrants_.current()) {
      const auto found = finished_.find(id);
      if (found != finished_.end()) column.push_back(found->second);
    }
    return best_first(column, selection_);
  }

 private:
  const Selection selection_;
  strategies::Entrants entrants_;
  const std::string id_;
  const Needs needs_;
  std::map<CandidateId, Finished> finished_;
};

}  // namespace

StrategyPtr best_of_n(BestOfNOptions options) {
  return std::make_unique<BestOfN>(std::move(options));
}

}  // namespace bestreel
