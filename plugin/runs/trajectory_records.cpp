#include "plugin/runs/trajectory_records.h"

#include <algorithm>
#include <map>
#include <utility>

namespace bestreel {
namespace {

using End = TrajectoryRecord::End;

/// Takes the events in, in their order.
class Projection {
 public:
  std::map<std::string, TrajectoryRecord> trajectories;

  void take(const RunEvent& event) {
    event_ = &event;
    std::visit(*this, event.body);
  }

  void operator()(const events::WaveStarted& started) {
    for (const auto& start : started.starts) {
      if (!start.state.empty()) begin(start.candidate, start.state, start.draft);
    }
    stop(started.stopped);
  }

  /// Who was asked about and has no assignment is dropped; an assignment from another's state is a
  /// resampling.
  void operator()(const events::BarrierDecided& decided) {
    std::map<std::string, TrajectoryRecord> before = trajectories;
    for (const std::string& id : decided.candidates) {
      TrajectoryRecord& trajectory = trajectories[id];
      trajectory.end = End::kDropped;
      trajectory.step = event_->step;
    }
    for (const auto& each : decided.assignments) {
      if (!trajectories.contains(each.candidate)) {
        begin(each.candidate, each.state, before[each.parent].draft);
      }
      TrajectoryRecord& trajectory = trajectories[each.candidate];
      trajectory.end = before[each.candidate].end;
      trajectory.state = each.state;
      trajectory.step = std::max(before[each.candidate].step, event_->step);
      if (each.parent != each.candidate) {
        trajectory.resamplings.push_back({event_->step, each.parent, each.key});
      }
    }
    stop(decided.stopped);
  }

  void operator()(const events::StepsDone&) {
    if (TrajectoryRecord* t = known()) t->step = std::max(t->step, event_->step);
  }
  void operator()(const events::Previewed& previewed) {
    if (known() != nullptr) preview().path = previewed.path;
  }
  void operator()(const events::PreviewJudged& judged) {
    if (known() != nullptr) preview().result = judged.result;
  }
  void operator()(const events::Candidate&) {
    if (TrajectoryRecord* t = known()) t->end = End::kFinished;
  }
  void operator()(const events::Failed& failed) { ended(End::kFailed, failed.failure.sentence); }
  void operator()(const events::Stopped& stopped) {
    ended(End::kStopped, stopped_failure(event_->candidate, event_->step, stopped.limit).sentence);
  }
  void operator()(const auto&) {}

 private:
  TrajectoryRecord* known() {
    const auto found = trajectories.find(event_->candidate);
    return found == trajectories.end() ? nullptr : &found->second;
  }

  void begin(const std::string& id, const std::string& state, bool draft) {
    TrajectoryRecord& t = trajectories[id];
    t.id = id;
    t.wave = event_->wave;
    t.start = t.state = state;
    t.draft = draft;
  }

  void ended(End end, std::string reason) {
    TrajectoryRecord* t = known();
    if (t == nullptr) return;
    t->end = end;
    t->step = event_->step;
    t->reason = std::move(reason);
  }

  void stop(const std::vector<events::Stop>& stopped) {
    for (const events::Stop& each : stopped) {
      TrajectoryRecord& t = trajectories[each.candidate];
      t.end = End::kStopped;
      t.step = event_->step;
      t.reason = stopped_failure(each.candidate, event_->step, each.limit).sentence;
    }
  }

  TrajectoryRecord::Preview& preview() {
    auto& previews = known()->previews;
    const std::int64_t step = event_->step;
    auto found = std::lower_bound(previews.begin(), previews.end(), step,
                                  [](const auto& each, std::int64_t at) { return each.step < at; });
    if (found == previews.end() || found->step != step) {
      found = previews.insert(found, TrajectoryRecord::Preview{step, {}, {}});
    }
    return *found;
  }

  const RunEvent* event_ = nullptr;
};

}  // namespace

std::vector<TrajectoryRecord> project_trajectories(const std::vector<RunEvent>& events) {
  Projection projection;
  for (const RunEvent& event : events) projection.take(event);
  std::vector<TrajectoryRecord> sorted;
  for (auto& [id, trajectory] : projection.trajectories) sorted.push_back(std::move(trajectory));
  std::sort(sorted.begin(), sorted.end(), [](const TrajectoryRecord& a, const TrajectoryRecord& b) {
    return a.wave != b.wave ? a.wave < b.wave : a.id < b.id;
  });
  return sorted;
}

}  // namespace bestreel
