#include "plugin/runs/report_verdict.h"

#include <algorithm>
#include <cmath>

namespace bestreel::report {
namespace {

std::optional<double> spread_of(const Judgement& judgement) {
  double sum = 0;
  bool known = false;
  for (const Dimension& dimension : judgement.dimensions) {
    known = known || dimension.std.has_value();
    sum += dimension.std.value_or(0);
  }
  if (!known) return std::nullopt;
  return sum / static_cast<double>(judgement.dimensions.size());
}

double weight_of(const RunSettings& settings, std::size_t judge) {
  return judge < settings.weights.size() ? settings.weights[judge] : 1.0;
}

std::vector<Noise> noise_of(const Verdict& verdict, const RunSettings& settings) {
  std::vector<Noise> entries;
  double variance = 0, weights = 0;
  const std::size_t judges =
      std::min(verdict.first->results.size(), verdict.second->results.size());
  for (std::size_t judge = 0; judge < judges; ++judge) {
    if (verdict.first->decided_by && *verdict.first->decided_by != judge) continue;
    weights += weight_of(settings, judge);
    const Judgement* first = judgement_of(*verdict.first, judge);
    const Judgement* second = judgement_of(*verdict.second, judge);
    if (!first || !second) continue;
    const auto one = spread_of(*first), other = spread_of(*second);
    if (!one && !other) continue;
    const double spread = std::hypot(one.value_or(0), other.value_or(0));
    variance += std::pow(weight_of(settings, judge) * spread, 2);
    entries.push_back({judge, first->reward - second->reward, spread});
  }
  if (judges > 1 && settings.keep.empty() && settings.combination == Combination::kWeights &&
      !entries.empty()) {
    return {{entries.front().judge, verdict.lead, std::sqrt(variance) / weights}};
  }
  return entries;
}

std::vector<DimensionGap> gaps_of(const Candidate& first, const Candidate& second) {
  std::vector<DimensionGap> gaps;
  for (std::size_t judge = 0; judge < first.results.size(); ++judge) {
    const Judgement* mine = judgement_of(first, judge);
    const Judgement* theirs = judgement_of(second, judge);
    if (!mine || !theirs) continue;
    const auto begin = gaps.size();
    for (const Dimension& dimension : mine->dimensions) {
      const auto same = std::find_if(theirs->dimensions.begin(), theirs->dimensions.end(),
                                     [&](const Dimension& d) { return d.name == dimension.name; });
      if (same == theirs->dimensions.end()) continue;
      gaps.push_back({judge, dimension.name, dimension.expected - same->expected});
    }
    std::stable_sort(gaps.begin() + static_cast<std::ptrdiff_t>(begin), gaps.end(),
                     [](const DimensionGap& a, const DimensionGap& b) {
                       return std::abs(a.difference) > std::abs(b.difference);
                     });
  }
  return gaps;
}

}  // namespace

const Judgement* judgement_of(const Candidate& candidate, std::size_t judge) {
  if (judge >= candidate.results.size() || !candidate.results[judge]) return nullptr;
  return std::get_if<Judgement>(&*candidate.results[judge]);
}

bool decided_by_one(const RunView& view) {
  return std::any_of(view.candidates.begin(), view.candidates.end(),
                     [](const Candidate& candidate) { return candidate.decided_by.has_value(); });
}

bool all_failed(const Candidate& candidate) {
  if (!candidate.dropped.empty() && !candidate.decided_by) return true;  // the others never saw it
  return !candidate.results.empty() &&
         std::all_of(candidate.results.begin(), candidate.results.end(),
                     [](const auto& result) { return result && failed(*result); });
}

Verdict verdict_of(const RunView& view) {
  Verdict verdict;
  verdict.final = view.finished;
  if (view.candidates.empty()) return verdict;
  std::vector<const Candidate*> ranked;
  for (const Candidate& candidate : view.candidates) {
    if (candidate.reward) ranked.push_back(&candidate);
  }
  if (ranked.empty()) {
    verdict.kind = view.finished ? Verdict::Kind::kNoWinner : Verdict::Kind::kPending;
    return verdict;
  }
  const auto winner = std::find_if(ranked.begin(), ranked.end(),
                                   [&](const Candidate* c) { return c->id == view.winner; });
  if (winner != ranked.end()) std::rotate(ranked.begin(), winner, winner + 1);
  verdict.first = ranked[0];
  verdict.kind = Verdict::Kind::kAlone;
  if (ranked.size() == 1) return verdict;

  verdict.second = ranked[1];
  if (verdict.first->decided_by && verdict.first->decided_by != verdict.second->decided_by) {
    verdict.kind = Verdict::Kind::kReviewed;
    verdict.gaps = gaps_of(*verdict.first, *verdict.second);
    return verdict;
  }
  verdict.lead = *verdict.first->reward - *verdict.second->reward;
  // A millionth is below what two builds of one judge agree on.
  verdict.kind = std::abs(verdict.lead) < 1e-6 ? Verdict::Kind::kTie : Verdict::Kind::kLead;
  verdict.gaps = gaps_of(*verdict.first, *verdict.second);
  verdict.noise = noise_of(verdict, view.settings);
  verdict.within_noise =
      !verdict.noise.empty() && std::all_of(verdict.noise.begin(), verdict.noise.end(),
                                            [](const Noise& noise) { return noise.within(); });
  return verdict;
}

}  // namespace bestreel::report
