#include "plugin/replay.h"

#include <map>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/runs/same_run.h"

namespace bestreel {
namespace {

/// Judges nothing, keeps the video.
class Replayer final : public SamplerCallback {
 public:
  Replayer(CandidateId target, int steps) : target_(target), steps_(steps) {}

  int next_stop(int) const override { return steps_; }
  bool request_steps(CandidateId, int, int) override { return true; }
  void on_steps_done(CandidateId, int, const Cost&) override {}
  std::optional<PreviewRequest> wants_preview(CandidateId, int) const override { return {}; }
  void preview(CandidateId, int, DecodedFrames, const Cost&) override {}
  std::vector<Assignment> resample_at(int) override { return {}; }
  void finished(CandidateId id, FinishedVideo video, const Cost&) override {
    if (id != target_) return;
    const auto* file = std::get_if<FileReference>(&video);
    video_ = file != nullptr ? open_video(file->path) : std::get<VideoPtr>(std::move(video));
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
  VideoPtr video_;
  std::optional<Failure> failure_;
};

}  // namespace

Replayed replay(const std::string& directory, CandidateId id, Engine& engine,
                const RunSettings& now, const VideoSink& keep) {
  const RunView view = project(RunStore::open_read_only(directory).events());
  const std::string name = candidate_name(id);
  std::map<std::string, const TrajectoryRecord*> trajectories;
  for (const TrajectoryRecord& trajectory : view.trajectories)
    trajectories[trajectory.id] = &trajectory;
  if (!trajectories.contains(name)) {
    fail("candidate_missing", "replay", "{} holds no candidate {}: it holds {} of them, from {} on",
         directory, name, view.trajectories.size(), candidate_name(0));
  }
  const EngineCapabilities& what = engine.capabilities();
  const TrajectoryRecord& record = *trajectories.at(name);
  const Start start{id,
                    {view.settings.prompt, view.settings.negative},
                    State::parse(record.state),
                    record.draft,
                    ""};
  Replayer replayer(id, what.steps);
  engine.run({&start, 1}, replayer);

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
