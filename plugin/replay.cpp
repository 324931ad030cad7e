#include "plugin/replay.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/runs/same_run.h"

namespace bestreel {
namespace {

/// Whom `id` descends from: assignments by the step where they take effect, of its ancestors only.
class Lineage {
 public:
  Lineage(const std::vector<TrajectoryRecord>& trajectories, const std::string& id) {
    std::set<std::string> needed{id};
    std::map<std::int64_t, std::set<std::string>> steps;
    for (const TrajectoryRecord& trajectory : trajectories) {
      for (const TrajectoryRecord::Resampling& each : trajectory.resamplings)
        steps[each.step].insert(trajectory.id);
    }
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      std::set<std::string> parents;
      for (const std::string& each : needed) {
        const TrajectoryRecord::Resampling* from = resampling(trajectories, each, step->first);
        Assignment assignment{id_of(each), id_of(each), 0};
        if (from != nullptr) assignment = {assignment.id, id_of(from->parent), from->key};
        slots_[static_cast<int>(step->first)].push_back(assignment);
        parents.insert(from != nullptr ? from->parent : each);
      }
      needed = std::move(parents);
    }
    for (const std::string& each : needed) roots_.insert(id_of(each));
  }

  const std::map<int, std::vector<Assignment>>& assignments() const { return slots_; }
  const std::set<CandidateId>& roots() const { return roots_; }

 private:
  static const TrajectoryRecord::Resampling* resampling(
      const std::vector<TrajectoryRecord>& trajectories, const std::string& id, std::int64_t step) {
    for (const TrajectoryRecord& trajectory : trajectories) {
      if (trajectory.id != id) continue;
      for (const auto& each : trajectory.resamplings) {
        if (each.step == step) return &each;
      }
    }
    return nullptr;
  }

  /// The inverse of candidate_name().
  static CandidateId id_of(const std::string& name) { return std::stoll(name.substr(1)); }

  std::map<int, std::vector<Assignment>> slots_;
  std::set<CandidateId> roots_;
};

/// Lets a lineage through, judges nothing, keeps the video of its end.
class Replayer final : public SamplerCallback {
 public:
  Replayer(CandidateId target, int steps, const Lineage& lineage)
      : target_(target), steps_(steps), lineage_(lineage) {}

  int next_stop(int step) const override {
    const auto next = lineage_.assignments().upper_bound(step);
    return next == lineage_.assignments().end() ? steps_ : next->first;
  }
  bool request_steps(CandidateId, int, int) override { return true; }
  void on_steps_done(CandidateId, int, const Cost&) override {}
  bool wants_preview(CandidateId, int) const override { return false; }
  void preview(CandidateId, int, DecodedFrames, const Cost&) override {}
  std::vector<Assignment> resample_at(int step) override { return lineage_.assignments().at(step); }
  void finished(CandidateId id, VideoPtr video, const Cost&) override {
    if (id == target_) video_ = std::move(video);
  }
  void failed(CandidateId, int, Failure failure, const Cost&) override {
    if (!failure_) failure_ = std::move(failure);
  }

  VideoPtr take(const std::string& engine) {
    if (failure_) fail(failure_->code, "replay", "{}", failure_->sentence);
    if (!video_) {
      fail("engine_broken", "replay",
           "{} must bring {} to its end, but did not: report it to the "
           "engine's author",
           engine, candidate_name(target_));
    }
    return std::move(video_);
  }

 private:
  const CandidateId target_;
  const int steps_;
  const Lineage& lineage_;
  VideoPtr video_;
  std::optional<Failure> failure_;
};

}  // namespace

Replayed replay(const std::string& directory, CandidateId id, Engine& engine,
                const RunSettings& now, const VideoSink& keep) {
  const RunView view = read_view(directory);
  const std::string name = candidate_name(id);
  std::map<std::string, const TrajectoryRecord*> trajectories;
  for (const TrajectoryRecord& trajectory : view.trajectories)
    trajectories[trajectory.id] = &trajectory;
  if (!trajectories.contains(name)) {
    fail("candidate_missing", "replay", "{} holds no candidate {}: it holds {} of them, from {} on",
         directory, name, view.trajectories.size(), candidate_name(0));
  }
  const EngineCapabilities& what = engine.capabilities();
  const Lineage lineage(view.trajectories, name);
  std::vector<Start> starts;
  for (const CandidateId root : lineage.roots()) {
    starts.push_back({root,
                      {view.settings.prompt, view.settings.negative},
                      Noise::parse(trajectories.at(candidate_name(root))->noise)});
  }
  Replayer replayer(id, what.steps, lineage);
  engine.run(starts, replayer);

  Replayed replayed;
  replayed.path = keep(name, replayer.take(what.name));
  replayed.sha256 = sha256_file(replayed.path);
  for (const Candidate& candidate : view.candidates) {
    if (candidate.id != name) continue;
    replayed.recorded = true;
    replayed.equal = candidate.sha256 == replayed.sha256;
  }
  if (replayed.recorded && !replayed.equal) {
    RunSettings here = now;
    here.engine = what.id;
    replayed.difference = difference_in_making(view.settings, here);
  }
  return replayed;
}

}  // namespace bestreel
