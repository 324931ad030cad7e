#include "plugin/runs/run_view.h"

#include <algorithm>
#include <map>

#include "core/base/fail.h"
#include "plugin/runs/cascade_view.h"
#include "plugin/runs/trajectory_records.h"

namespace bestreel {
namespace {

/// Sorts by reward, best first, and gives ranks and the winner.
void sort_by_reward(RunView& view) {
  std::sort(view.candidates.begin(), view.candidates.end(),
            [](const Candidate& a, const Candidate& b) {
              if (a.reward.has_value() != b.reward.has_value()) return a.reward.has_value();
              if (a.reward && *a.reward != *b.reward) return *a.reward > *b.reward;
              return a.id < b.id;
            });
  int next = 1;
  for (Candidate& candidate : view.candidates) candidate.rank = candidate.reward ? next++ : 0;
  view.winner = !view.candidates.empty() && view.candidates.front().rank == 1
                    ? view.candidates.front().id
                    : "";
}

/// The strategy's own order: an expensive judge may have seen the best only.
void rank_as_selected(RunView& view, const events::WinnerSelected& selected) {
  std::map<std::string, int> places;
  std::map<std::string, double> rewards;
  std::map<std::string, std::size_t> judges;
  for (const auto& each : selected.order) {
    places[each.candidate] = static_cast<int>(places.size()) + 1;
    rewards[each.candidate] = each.reward;
    if (each.judge) judges[each.candidate] = *each.judge;
  }
  for (Candidate& candidate : view.candidates) {
    const auto place = places.find(candidate.id);
    candidate.rank = place == places.end() ? 0 : place->second;
    candidate.reward =
        place == places.end() ? std::nullopt : std::optional(rewards.at(candidate.id));
    const auto judge = judges.find(candidate.id);
    if (judge != judges.end() && judge->second < view.settings.judges.size())
      candidate.decided_by = judge->second;
  }
  std::sort(view.candidates.begin(), view.candidates.end(),
            [](const Candidate& a, const Candidate& b) {
              if ((a.rank == 0) != (b.rank == 0)) return b.rank == 0;
              return a.rank != b.rank ? a.rank < b.rank : a.id < b.id;
            });
  view.winner = places.empty() ? "" : view.candidates.front().id;
}

/// The names that a run's events give to its files, and what they are called here.
class Files {
 public:
  void begin(const events::WaveStarted& started) {
    for (const auto& start : started.starts) {
      if (start.label.empty()) continue;
      labels_[start.candidate] = start.label;
      newest_[start.label] = start.candidate;
    }
  }
  /// A file's label; nullopt: a newer one has taken its place. Any other is called as it is.
  std::optional<std::string> name_of(const std::string& candidate) const {
    const auto label = labels_.find(candidate);
    if (label == labels_.end()) return candidate;
    return newest_.at(label->second) == candidate ? std::optional(label->second) : std::nullopt;
  }

 private:
  std::map<std::string, std::string> labels_, newest_;
};

/// Combines the judges and ranks by the result.
void rank(RunView& view) {
  std::vector<std::vector<std::optional<double>>> rewards(view.settings.judges.size());
  for (std::size_t j = 0; j < rewards.size(); ++j) {
    for (const Candidate& candidate : view.candidates) {
      const auto& result = candidate.results[j];
      const Judgement* judgement =
          result && !candidate.draft ? std::get_if<Judgement>(&*result) : nullptr;
      rewards[j].push_back(judgement ? std::optional(judgement->reward) : std::nullopt);
    }
  }
  const auto combined = combine(view.settings.combination, rewards, view.settings.weights);
  for (std::size_t c = 0; c < combined.size(); ++c) view.candidates[c].reward = combined[c];
  sort_by_reward(view);
}

}  // namespace

RunView project(const std::vector<Event>& rows) {
  RunView view;
  const std::vector<RunEvent> events = decode(rows);
  std::map<std::string, Candidate> candidates;
  std::map<std::string, std::vector<std::optional<Result>>> results;
  std::map<std::pair<std::string, std::size_t>, std::pair<std::int64_t, std::size_t>> latest;
  std::map<std::string, events::Arrived> arrived;
  std::optional<events::WinnerSelected> selected;
  Files files;
  for (const RunEvent& event : events) {
    if (const auto* started = std::get_if<events::WaveStarted>(&event.body)) files.begin(*started);
  }
  for (const RunEvent& event : events) {
    const std::optional<std::string> name = files.name_of(event.candidate);
    if (const auto* settings = std::get_if<RunSettings>(&event.body)) {
      view.settings = *settings;
    } else if (const auto* file = std::get_if<events::Arrived>(&event.body)) {
      arrived[file->label] = *file;
    } else if (std::holds_alternative<events::WaveStarted>(event.body)) {
      selected.reset();  // a ranking of those that were there before
    } else if (const auto* made = std::get_if<events::Candidate>(&event.body); made && name) {
      if (candidates.contains(*name)) results.erase(*name);  // written again: judged again
      candidates[*name] = {.id = *name,
                           .path = made->path,
                           .sha256 = made->sha256,
                           .lossless = made->lossless,
                           .lossless_sha256 = made->lossless_sha256,
                           .video = made->video,
                           .draft = made->draft};
    } else if (const auto* judged = std::get_if<events::Judged>(&event.body); judged && name) {
      if (judged->judge >= view.settings.judges.size()) {
        fail("run_foreign", "run",
             "the run holds a judgement by judge {} of {}: use the version that made it",
             judged->judge + 1, view.settings.judges.size());
      }
      auto& row = results[*name];
      row.resize(view.settings.judges.size());
      auto& last = latest[{*name, judged->judge}];
      const std::pair now{event.wave, judged->index};
      if (row[judged->judge] && now < last) continue;
      row[judged->judge] = judged->result;
      last = now;
    } else if (const auto* order = std::get_if<events::WinnerSelected>(&event.body)) {
      selected = *order;
      for (auto& each : selected->order) {
        each.candidate = files.name_of(each.candidate).value_or(each.candidate);
      }
    }
    add(view.ledger, event);
    view.finished = std::holds_alternative<events::Finished>(event.body);
  }
  view.trajectories = project_trajectories(events);
  for (auto& [label, file] : arrived) view.arrived.push_back(std::move(file));
  for (auto& [id, row] : results) {
    // A session's judge may be done before the file is; in a ranking there is nobody else.
    if (!candidates.contains(id) && view.trajectories.empty() && view.arrived.empty()) {
      fail("run_foreign", "run",
           "the run holds a judgement of {}, which it does not hold: use the version that made it",
           id);
    }
  }
  for (auto& [id, candidate] : candidates) {
    candidate.results = std::move(results[id]);
    candidate.results.resize(view.settings.judges.size());
    view.candidates.push_back(std::move(candidate));
  }
  if (selected) {
    rank_as_selected(view, *selected);
  } else if (view.settings.keep.empty()) {
    rank(view);
  }
  if (!view.settings.keep.empty()) rank_cascade(view, selected.has_value());
  if (!events.empty()) view.seconds = events.back().at - events.front().at;
  return view;
}

Event run_event(const RunSettings& settings) { return encode({.body = settings}); }

Event candidate_event(const Candidate& candidate) {
  return encode({.candidate = candidate.id,
                 .body = events::Candidate{.id = candidate.id,
                                           .path = candidate.path,
                                           .sha256 = candidate.sha256,
                                           .lossless = candidate.lossless,
                                           .lossless_sha256 = candidate.lossless_sha256,
                                           .video = candidate.video,
                                           .draft = candidate.draft}});
}

Event judged_event(const std::string& candidate, std::size_t judge, const Result& result) {
  return encode({.candidate = candidate, .body = events::Judged{.judge = judge, .result = result}});
}

Event finished_event(const std::string& winner) {
  return encode({.candidate = winner, .body = events::Finished{}});
}

}  // namespace bestreel
