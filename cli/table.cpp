#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cli/terminal.h"
#include "plugin/runs/cascade_view.h"

namespace bestreel::cli {
namespace {

/// The dimension columns: with several judges the judge's place tells equal names apart.
struct Column {
  std::size_t judge;
  std::size_t dimension;
  std::string title;
};

std::vector<Column> columns_of(const RunView& view) {
  std::vector<Column> columns;
  for (std::size_t j = 0; j < view.settings.judges.size(); ++j) {
    for (const Candidate& candidate : view.candidates) {
      if (j >= candidate.results.size() || !candidate.results[j] || failed(*candidate.results[j])) {
        continue;
      }
      const auto& dimensions = std::get<Judgement>(*candidate.results[j]).dimensions;
      for (std::size_t d = 0; d < dimensions.size(); ++d) {
        const std::string& name = dimensions[d].name;
        columns.push_back(
            {j, d, view.settings.judges.size() > 1 ? fmt::format("{}:{}", j + 1, name) : name});
      }
      break;
    }
  }
  return columns;
}

const Judgement* judgement_of(const Candidate& candidate, std::size_t judge) {
  if (judge >= candidate.results.size() || !candidate.results[judge]) return nullptr;
  return std::get_if<Judgement>(&*candidate.results[judge]);
}

/// The column of one judge's reward where not all were decided by the same; all of them elsewhere.
struct RewardColumn {
  std::optional<std::size_t> judge;
  std::string title;
};

std::vector<RewardColumn> rewards_of(const RunView& view) {
  std::vector<RewardColumn> columns;
  for (std::size_t j = view.settings.judges.size(); j-- > 0;) {
    if (std::any_of(view.candidates.begin(), view.candidates.end(),
                    [&](const Candidate& candidate) { return candidate.decided_by == j; })) {
      columns.push_back({j, fmt::format("reward:{}", j + 1)});
    }
  }
  if (columns.empty()) columns.push_back({std::nullopt, "reward"});
  return columns;
}

std::string reward_text(const Candidate& candidate, const RewardColumn& column) {
  if (!column.judge) return fmt::format("{:.3f}", candidate.reward.value_or(0));
  const Judgement* judgement = judgement_of(candidate, *column.judge);
  return judgement == nullptr ? "-" : fmt::format("{:.3f}", judgement->reward);
}

/// The first reason why the second lost, where their rewards are of different judges.
std::string decided_sentence(const RunView& view, const Candidate& first, const Candidate& second) {
  return fmt::format("{} wins: judge {} ({}) looked at it and not at {}", printable(first.id),
                     *first.decided_by + 1, printable(view.settings.judges[*first.decided_by]),
                     printable(second.id));
}

}  // namespace

std::string ranking_table(const RunView& view, int top) {
  const std::vector<Column> columns = columns_of(view);
  const std::vector<RewardColumn> rewards = rewards_of(view);
  std::vector<std::string> header{"rank", "video"};
  for (const RewardColumn& column : rewards) header.push_back(column.title);
  for (const Column& column : columns) header.push_back(column.title);
  for (std::string& title : header) title = bold(title);
  Table table(header);
  std::string failures;
  int left_out = 0;
  bool any = false;
  for (const Candidate& candidate : view.candidates) {
    if (candidate.rank == 0) {
      for (const auto& result : candidate.results) {
        if (result && failed(*result)) {
          failures += fmt::format("{}  {}\n", red("failed"),
                                  printable(std::get<Failure>(*result).sentence));
          break;
        }
      }
      continue;
    }
    if (top > 0 && candidate.rank > top) {
      ++left_out;
      continue;
    }
    any = true;
    const bool best = candidate.id == view.winner;
    const auto mark = [&](const std::string& text) { return best ? green(text) : text; };
    std::vector<std::string> row{mark(std::to_string(candidate.rank)),
                                 mark(printable(candidate.id))};
    for (const RewardColumn& column : rewards) row.push_back(mark(reward_text(candidate, column)));
    for (const Column& column : columns) {
      const Judgement* judgement = judgement_of(candidate, column.judge);
      row.push_back(judgement == nullptr
                        ? "-"
                        : fmt::format("{:.3f}", judgement->dimensions[column.dimension].expected));
    }
    table.row(row);
  }
  std::string out = any ? table.text(2) : "";
  if (left_out > 0) out += dim(fmt::format("... and {} more, in the report", left_out)) + "\n";
  return out + failures;
}

std::string cascade_table(const RunView& view, int top) {
  if (view.settings.keep.empty()) return "";
  Table table({bold("judge"), bold("saw"), bold("handed on"), bold("seconds"), bold("tokens"),
               bold("saved seconds"), bold("saved tokens")});
  for (const CascadeStage& stage : cascade_stages(view)) {
    const bool last = stage.judge + 1 == view.settings.judges.size();
    const auto count = [](double value) { return value > 0 ? fmt::format("{:.0f}", value) : "-"; };
    table.row({printable(judge_label(view.settings, stage.judge)), std::to_string(stage.saw),
               last ? "-" : std::to_string(stage.kept), fmt::format("{:.2f}", stage.seconds),
               count(static_cast<double>(stage.tokens)),
               stage.saved_seconds > 0 ? fmt::format("{:.2f}", stage.saved_seconds) : "-",
               count(stage.saved_tokens)});
  }
  std::string out = "\n" + table.text(1);
  for (const Candidate& candidate : view.candidates) {
    if (candidate.dropped.empty() || (top > 0 && candidate.rank > top)) continue;
    out += fmt::format("{}: {}\n", printable(candidate.id), printable(candidate.dropped));
  }
  return out;
}

std::string winner_sentence(const RunView& view) {
  if (view.candidates.empty() || view.winner.empty()) return "no video could be ranked";
  const Candidate& first = view.candidates.front();
  if (view.candidates.size() < 2 || view.candidates[1].rank == 0) {
    return fmt::format("{} is the only one that could be ranked", printable(first.id));
  }
  const Candidate& second = view.candidates[1];
  if (first.decided_by != second.decided_by && first.decided_by)
    return decided_sentence(view, first, second);
  const double lead = first.reward.value_or(0) - second.reward.value_or(0);
  std::string text =
      lead == 0 ? fmt::format("{} and {} are level", printable(first.id), printable(second.id))
                : fmt::format("{} wins by {:.3f} over {}", printable(first.id), lead,
                              printable(second.id));
  std::string separator = ": ";
  for (const Column& column : columns_of(view)) {
    const Judgement* a = judgement_of(first, column.judge);
    const Judgement* b = judgement_of(second, column.judge);
    if (a == nullptr || b == nullptr) continue;
    text += fmt::format(
        "{}{} {:+.2f}", separator, column.title,
        a->dimensions[column.dimension].expected - b->dimensions[column.dimension].expected);
    separator = ", ";
  }
  return text;
}

}  // namespace bestreel::cli
