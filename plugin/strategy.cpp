#include "plugin/strategy.h"

#include <algorithm>
#include <cmath>

#include "core/base/fail.h"

namespace bestreel {
namespace {

const char* how_it_runs(Scheduling scheduling) {
  switch (scheduling) {
    case Scheduling::kSequential:
      return "runs candidates one after the other";
    case Scheduling::kLockstep:
      return "runs candidates in lockstep";
    case Scheduling::kPausable:
      return "can put candidates aside";
  }
  return "";
}

const char* wanted(Scheduling scheduling) {
  return scheduling == Scheduling::kPausable ? "can put candidates aside and take them up again"
                                             : "advances all candidates together";
}

/// What an engine may lack, in the words of both sides, and what provides it.
struct Gap {
  bool needed, there;
  const char* need;
  const char* lack;
  const char* remedy;
};

}  // namespace

std::string candidate_name(CandidateId id) { return fmt::format("c{:03}", id); }

std::optional<double> reward_of(const Result& result) {
  const auto* judgement = std::get_if<Judgement>(&result);
  if (judgement == nullptr || !std::isfinite(judgement->reward)) return std::nullopt;
  return judgement->reward;
}

std::vector<Ranked> best_first(const std::vector<Finished>& finished, const Selection& selection) {
  if (finished.empty()) return {};
  std::vector<std::vector<std::optional<double>>> rewards(finished.front().results.size());
  for (std::size_t j = 0; j < rewards.size(); ++j) {
    for (const Finished& each : finished) {
      const auto& result = each.results.at(j);
      rewards[j].push_back(result ? reward_of(*result) : std::nullopt);
    }
  }
  const auto combined = combine(selection.how, rewards, selection.weights);
  std::vector<Ranked> ranked;
  for (std::size_t c = 0; c < combined.size(); ++c) {
    if (combined[c]) ranked.push_back({finished[c].id, *combined[c]});
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Ranked& a, const Ranked& b) { return a.reward > b.reward; });
  return ranked;
}

std::vector<std::uint64_t> consecutive_seeds(std::uint64_t first, std::size_t n) {
  std::vector<std::uint64_t> seeds(n);
  for (std::size_t i = 0; i < n; ++i) seeds[i] = first + i;
  return seeds;
}

void require_match(const Strategy& strategy, const EngineCapabilities& engine,
                   std::span<const JudgePtr> judges) {
  const Needs& needs = strategy.needs();
  const std::string name = strategy.id().substr(0, strategy.id().find('('));
  if (engine.steps < 0) {
    fail_usage(name, "{} must do 0 denoising steps (finished files) or more, but does {}",
               engine.name, engine.steps);
  }
  if (engine.scheduling < needs.scheduling) {
    fail_usage(name,
               "{} needs an engine that {}, but {} {}: use best-of-n or race (--strategy), which "
               "work on every engine",
               name, wanted(needs.scheduling), engine.name, how_it_runs(engine.scheduling));
  }
  if (needs.files != (engine.steps == 0)) {
    fail_usage(name, "{} ranks {}, but {} {}: {}", name,
               needs.files ? "files that arrive" : "what an engine makes", engine.name,
               engine.steps == 0 ? "brings finished files" : "makes its own videos",
               needs.files ? "give it seeds" : "use best-of-n or cascade");
  }
  for (const Gap& gap : {
           Gap{needs.previews, engine.previews, "shows previews of unfinished candidates",
               "shows none", "use best-of-n (--strategy)"},
           Gap{needs.lookahead, engine.lookahead, "looks ahead of a preview by further steps",
               "cannot", "leave --lookahead out"},
           Gap{needs.branching, engine.branching, "copies trajectories", "cannot",
               "use best-of-n, race or halving (--strategy)"},
           Gap{needs.stochastic, engine.stochastic(), "draws fresh noise at its steps",
               "is deterministic, so that copies would become one video",
               "pass --stochastic flow-sde, or use halving (--strategy), which prunes"},
           Gap{needs.renoise, engine.renoise, "takes candidates back to an earlier step", "cannot",
               "use best-of-n, race or halving (--strategy)"},
           Gap{needs.drafts, engine.drafts, "makes cheap drafts", "makes none",
               "use best-of-n (--strategy)"},
       }) {
    if (!gap.needed || gap.there) continue;
    fail_usage(name, "{} needs an engine that {}, but {} {}: {}", name, gap.need, engine.name,
               gap.lack, gap.remedy);
  }
  std::size_t pointwise = 0;
  const Judge* groupwise = nullptr;
  for (const JudgePtr& judge : judges) {
    if (!judge) fail_usage(name, "judge must not be null");
    if (judge->info().groupwise) {
      groupwise = judge.get();
    } else {
      ++pointwise;
    }
  }
  if (pointwise < needs.judges) {
    fail_usage(name, "{} needs {} judges, but got {}: add --judge", name, needs.judges, pointwise);
  }
  if (needs.groupwise && groupwise == nullptr) {
    fail_usage(name,
               "{} needs a judge that compares candidates, but those that are given judge single "
               "videos: add one by --judge",
               name);
  }
  if (!needs.groupwise && groupwise != nullptr) {
    fail_usage(name,
               "{} has single videos judged, but {} compares candidates: use another --judge, or a "
               "--strategy that compares",
               name, groupwise->info().name);
  }
}

}  // namespace bestreel
