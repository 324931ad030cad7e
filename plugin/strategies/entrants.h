// Private to the strategies: who takes part, where everyone is made and judged.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "plugin/strategies/seeds.h"

namespace bestreel::strategies {

/// One candidate per seed or, where there are none, per finished file that arrives. A file that
/// arrives again has changed: its new candidate takes the place of the old one.
class Entrants {
 public:
  Entrants(const char* strategy, const std::vector<std::uint64_t>& seeds, bool files)
      : text_(files ? "files" : "seeds=" + checked_seeds(strategy, seeds)) {
    if (files && !seeds.empty()) {
      fail_usage(strategy, "either seeds or files may be given, but not both");
    }
    if (files) return;
    starts_ = one_per_seed(seeds);
    for (const NewTrajectory& start : starts_) places_[{"", start.id}] = start.id;
    next_ = std::ssize(starts_);
  }

  /// For the strategy's id.
  const std::string& text() const { return text_; }

  void tell(const Arrived& file) {
    std::erase_if(places_, [&](const auto& each) { return each.first.first == file.label; });
    std::erase_if(starts_, [&](const auto& start) { return start.label == file.label; });
    starts_.push_back({.id = next_, .label = file.label});
    places_[{file.label, next_}] = next_;
    ++next_;
  }

  /// Those that have not been asked for.
  std::vector<NewTrajectory> fresh() { return std::exchange(starts_, {}); }

  /// Those that count, in the order that decides between equal rewards: by label, then by id.
  std::vector<CandidateId> current() const {
    std::vector<CandidateId> ids;
    for (const auto& [place, id] : places_) ids.push_back(id);
    return ids;
  }

 private:
  std::string text_;
  std::vector<NewTrajectory> starts_;
  std::map<std::pair<std::string, CandidateId>, CandidateId> places_;
  CandidateId next_ = 0;
};

}  // namespace bestreel::strategies
