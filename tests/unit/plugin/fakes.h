// Judges and videos for tests: no file, no weights, every result known.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "plugin/judge.h"

namespace bestreel::testing {

/// A video of one black 2x2 frame at `rate` frames a second: its rate tells it from others.
inline VideoPtr tiny_video(std::int64_t rate = 1) {
  auto pixels = std::make_shared<std::vector<std::uint8_t>>(12, std::uint8_t{0});
  TensorView frames;
  frames.data = pixels->data();
  frames.shape = {1, 3, 2, 2};
  frames.strides = {12, 4, 2, 1};
  frames.owner = pixels;
  return video_from_frames(frames, {rate, 1});
}

inline Judgement judgement(double reward) {
  Judgement result;
  result.dimensions.push_back({"quality", 3, reward, {}, {}, {}});
  result.reward = reward;
  result.judge = "fake/1";
  return result;
}

/// Answers with whatever `answer` returns or throws.
class FakeJudge final : public Judge {
 public:
  using Answer =
      std::function<std::vector<Result>(std::span<const Request>, const std::stop_token&)>;
  explicit FakeJudge(Answer answer) : answer_(std::move(answer)) {
    info_.id = info_.name = "fake/1";
  }
  const JudgeInfo& info() const override { return info_; }
  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    return answer_(requests, stop);
  }

 private:
  Answer answer_;
  JudgeInfo info_;
};

/// The reward of a video is its frame rate.
inline JudgePtr rate_judge() {
  return std::make_shared<FakeJudge>([](std::span<const Request> requests, const std::stop_token&) {
    std::vector<Result> results;
    for (const Request& request : requests) {
      results.push_back(judgement(request.video->info().fps.value()));
    }
    return results;
  });
}

}  // namespace bestreel::testing
