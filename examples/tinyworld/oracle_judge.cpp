#include "examples/tinyworld/oracle_judge.h"

#include <chrono>
#include <cmath>
#include <numeric>

#include "core/base/fail.h"
#include "examples/tinyworld/oracle.h"

namespace bestreel::tinyworld {
namespace {

class OracleJudge final : public Judge {
 public:
  OracleJudge() {
    info_.id = "tinyworld-oracle/1";
    info_.name = "tinyworld-oracle";
    info_.dimensions = {kDimensions.begin(), kDimensions.end()};
  }

  const JudgeInfo& info() const override { return info_; }

  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    std::vector<Result> results;
    for (const Request& request : requests) {
      if (stop.stop_requested()) {
        results.push_back(Failure{"cancelled", "[judge] cancelled"});
      } else {
        results.push_back(result_of([&] { return judge_one(request); }));
      }
    }
    return results;
  }

 private:
  Result judge_one(const Request& request) const {
    const auto begin = std::chrono::steady_clock::now();
    const VideoInfo& video = request.video->info();
    if (video.frame_count > 256 || video.height > 512 || video.width > 512) {
      fail("video_unsuitable", "judge",
           "{} must be a clip of the tiny world (at most 256 frames of 512 x "
           "512 pixels), but has {} of {} x {}",
           request.video->path(), video.frame_count, video.width, video.height);
    }
    const Scene asked = parse_prompt(request.condition.prompt);
    const Verdict verdict = ask_oracle(from_video(*request.video), asked);
    Judgement judgement;
    for (std::size_t i = 0; i < kDimensions.size(); ++i) {
      Dimension dimension;
      dimension.name = kDimensions[i];
      dimension.expected = verdict.truth[i];
      dimension.score = static_cast<int>(std::lround(verdict.truth[i]));
      judgement.dimensions.push_back(dimension);
      judgement.reward += verdict.truth[i] / static_cast<double>(kDimensions.size());
      judgement.rationale +=
          fmt::format("{}{}: {}", i == 0 ? "" : "\n", kDimensions[i], verdict.reason[i]);
    }
    judgement.measures = verdict.measures;
    judgement.frames.resize(static_cast<std::size_t>(video.frame_count));
    std::iota(judgement.frames.begin(), judgement.frames.end(), 0);
    judgement.judge = info_.id;
    judgement.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return judgement;
  }

  JudgeInfo info_;
};

}  // namespace

JudgePtr make_oracle_judge() { return std::make_shared<OracleJudge>(); }

}  // namespace bestreel::tinyworld
