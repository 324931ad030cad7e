#include "plugin/runs/cascade_view.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"
#include "plugin/strategies/cascade.h"

namespace bestreel {
namespace {

CascadeRewards rewards_of(const RunView& view) {
  CascadeRewards rewards(view.settings.judges.size());
  for (std::size_t j = 0; j < rewards.size(); ++j) {
    for (const Candidate& candidate : view.candidates) {
      const auto& result = candidate.results[j];
      rewards[j].push_back(result ? reward_of(*result) : std::nullopt);
    }
  }
  return rewards;
}

/// Why no judge after `judge`, which decided on the candidate, is to see it; empty: one is.
std::string why_dropped(const RunView& view, const CascadeRewards& rewards,
                        const CascadeTable& table, std::size_t candidate, std::size_t judge) {
  const std::size_t next = judge + 1;
  if (next == rewards.size()) return "";
  const auto& survivors = table.survivors[next];
  if (std::find(survivors.begin(), survivors.end(), candidate) != survivors.end()) {
    const auto& result = view.candidates[candidate].results[next];
    return result && failed(*result) ? judge_label(view.settings, next) + " failed on it" : "";
  }
  const auto& column = rewards[judge];
  std::size_t ahead = 0, all = 0;
  for (const std::size_t c : table.survivors[judge]) {
    if (!column[c]) continue;
    ++all;
    if (*column[c] > *column[candidate] || (*column[c] == *column[candidate] && c < candidate)) {
      ++ahead;
    }
  }
  return fmt::format("{} put it at place {} of {}, and the best {} went on",
                     judge_label(view.settings, judge), ahead + 1, all, view.settings.keep[judge]);
}

}  // namespace

std::string judge_label(const RunSettings& settings, std::size_t judge) {
  std::filesystem::path spec(settings.judges.at(judge));
  if (!spec.has_filename()) spec = spec.parent_path();
  return fmt::format("judge {} ({})", judge + 1, spec.filename().string());
}

void rank_cascade(RunView& view, bool selected) {
  // Before sorting: the arithmetic breaks ties by the index, which is the order of the ids.
  std::sort(view.candidates.begin(), view.candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  const CascadeRewards rewards = rewards_of(view);
  const CascadeTable table = cascade_table(rewards, view.settings.keep);
  int rank = 0;
  for (const CascadePlace& place : table.order) {
    Candidate& candidate = view.candidates[place.candidate];
    candidate.decided_by = place.judge;
    candidate.dropped = why_dropped(view, rewards, table, place.candidate, place.judge);
    if (selected) continue;
    candidate.rank = ++rank;
    candidate.reward = place.reward;
  }
  for (Candidate& candidate : view.candidates) {
    const auto& first = candidate.results.front();
    if (!candidate.decided_by && first && failed(*first)) {
      candidate.dropped = judge_label(view.settings, 0) + " failed on it";
    }
  }
  std::stable_sort(view.candidates.begin(), view.candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     if ((a.rank == 0) != (b.rank == 0)) return b.rank == 0;
                     return a.rank < b.rank;
                   });
  if (!selected) view.winner = rank > 0 ? view.candidates.front().id : "";
}

std::vector<CascadeStage> cascade_stages(const RunView& view) {
  std::vector<CascadeStage> stages;
  if (view.settings.keep.empty()) return stages;
  for (std::size_t j = 0; j < view.settings.judges.size(); ++j) {
    CascadeStage stage{.judge = j};
    for (const Candidate& candidate : view.candidates) {
      if (!candidate.results[j]) continue;
      ++stage.saw;
      if (j + 1 < candidate.results.size() && candidate.results[j + 1]) ++stage.kept;
    }
    if (j < view.ledger.judges.size()) {
      const JudgeCost& cost = view.ledger.judges[j];
      stage.seconds = cost.seconds;
      stage.tokens = cost.prefill_tokens + cost.decode_tokens;
      if (cost.judgements > 0) {
        const auto spared = static_cast<double>(std::ssize(view.candidates) - stage.saw) /
                            static_cast<double>(cost.judgements);
        stage.saved_seconds = stage.seconds * spared;
        stage.saved_tokens = static_cast<double>(stage.tokens) * spared;
      }
    }
    stages.push_back(stage);
  }
  return stages;
}

std::string cascade_json(const RunView& view) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const CascadeStage& stage : cascade_stages(view)) {
    list.push_back({{"judge", view.settings.judge_ids.at(stage.judge)},
                    {"saw", stage.saw},
                    {"kept", stage.kept},
                    {"seconds", stage.seconds},
                    {"tokens", stage.tokens},
                    {"saved_seconds", stage.saved_seconds},
                    {"saved_tokens", stage.saved_tokens}});
  }
  return nlohmann::ordered_json{{"cascade", list}}.dump(
      -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace bestreel
