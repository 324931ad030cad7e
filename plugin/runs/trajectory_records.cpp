#include "plugin/runs/trajectory_records.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "plugin/json_fields.h"

namespace bestreel {
namespace {

using Json = nlohmann::ordered_json;

TrajectoryRecord::Preview& preview_at(TrajectoryRecord& trajectory, std::int64_t step) {
  auto& previews = trajectory.previews;
  auto found = std::lower_bound(previews.begin(), previews.end(), step,
                                [](const auto& each, std::int64_t at) { return each.step < at; });
  if (found == previews.end() || found->step != step) {
    found = previews.insert(found, TrajectoryRecord::Preview{step, {}, {}});
  }
  return *found;
}

/// Who was asked about and has no assignment is dropped; a assignment from another's state is a
/// resampling.
[[noreturn]] void fail_candidate() {
  fail("json_malformed", "json",
       "a candidate must be one of the run, such as c003: use a file that Bestreel wrote");
}

/// What candidate_name() writes.
bool is_candidate_name(const std::string& id) {
  return id.size() > 3 && id.size() < 19 && id[0] == 'c' &&
         id.find_first_not_of("0123456789", 1) == std::string::npos;
}

void apply_barrier(std::map<std::string, TrajectoryRecord>& trajectories, std::int64_t step,
                   const Json& body) {
  std::map<std::string, TrajectoryRecord::Resampling> parents;
  for (const Json& assignment : body.at("assignments")) {
    parents[strictly_at<std::string>(assignment, "candidate")] = {
        step, strictly_at<std::string>(assignment, "parent"),
        strictly_at<std::uint64_t>(assignment, "key")};
    if (!trajectories.contains(strictly_at<std::string>(assignment, "parent"))) fail_candidate();
  }
  for (const Json& each : body.at("candidates")) {
    const auto id = strictly<std::string>(each, "candidate");
    TrajectoryRecord& trajectory = trajectories.at(id);
    const auto parent = parents.find(id);
    if (parent == parents.end()) {
      trajectory.end = TrajectoryRecord::End::kDropped;
      trajectory.step = step;
    } else if (parent->second.parent != id) {
      trajectory.resamplings.push_back(parent->second);
    }
  }
}

}  // namespace

std::vector<TrajectoryRecord> project_trajectories(const std::vector<Event>& events) {
  std::map<std::string, TrajectoryRecord> trajectories;
  for (const Event& event : events) {
    if (event.kind == "wave_started") {
      const Json body = Json::parse(event.body);
      for (const Json& start : body.at("starts")) {
        const auto id = strictly_at<std::string>(start, "candidate");
        if (!is_candidate_name(id)) fail_candidate();
        trajectories[id].id = id;
        trajectories[id].wave = event.wave;
        trajectories[id].noise = strictly_at<std::string>(start, "noise");
      }
      continue;
    }
    if (event.kind == "barrier_decided") {
      apply_barrier(trajectories, event.step, Json::parse(event.body));
      continue;
    }
    const auto found = trajectories.find(event.candidate);
    if (found == trajectories.end()) continue;
    TrajectoryRecord& trajectory = found->second;
    const Json body = Json::parse(event.body);
    if (event.kind == "steps_done") {
      trajectory.step = std::max(trajectory.step, event.step);
    } else if (event.kind == "previewed") {
      preview_at(trajectory, event.step).path = strictly_at<std::string>(body, "path");
    } else if (event.kind == "preview_judged") {
      preview_at(trajectory, event.step).result = result_from_json(body.at("result").dump());
    } else if (event.kind == "candidate") {
      trajectory.end = TrajectoryRecord::End::kFinished;
    } else if (event.kind == "failed" || event.kind == "stopped") {
      trajectory.end =
          event.kind == "failed" ? TrajectoryRecord::End::kFailed : TrajectoryRecord::End::kStopped;
      trajectory.step = event.step;
      trajectory.reason = strictly_at<std::string>(body, "sentence");
    }
  }
  std::vector<TrajectoryRecord> sorted;
  for (auto& [id, trajectory] : trajectories) sorted.push_back(std::move(trajectory));
  std::sort(sorted.begin(), sorted.end(), [](const TrajectoryRecord& a, const TrajectoryRecord& b) {
    return a.wave != b.wave ? a.wave < b.wave : a.id < b.id;
  });
  return sorted;
}

}  // namespace bestreel
