#include "reward/pixels/pixels_judge.h"

#include <gtest/gtest.h>

#include "clips.h"

namespace bestreel {
namespace {

using testing::Clip;
using testing::make_clip;

Judgement judged(const VideoPtr& video) {
  const Request request{video, {"", ""}};
  return std::get<Judgement>(make_pixels_judge()->judge({&request, 1}, {}).front());
}

// A picture that stands still does not win against the same picture in motion.
TEST(PixelsJudge, AStaticImageDoesNotWin) {
  const Judgement moving = judged(make_clip({})), still = judged(make_clip({.speed = 0}));
  EXPECT_GT(moving.reward, still.reward);
  EXPECT_LT(still.dimensions[1].expected, 1.5);
}

// Whatever the video, scores are numbers from 1 to 5 and the rationale says what was not measured.
TEST(PixelsJudge, OddVideosAreJudged) {
  for (const Clip& clip : {Clip{.frames = 1}, Clip{.frames = 2}, Clip{.width = 1, .height = 1},
                           Clip{.width = 16, .height = 16}, Clip{.width = 500, .height = 2},
                           Clip{.brightness = [](std::int64_t) { return -1000.0; }},
                           Clip{.brightness = [](std::int64_t) { return 1000.0; }}}) {
    const Judgement result = judged(make_clip(clip));
    for (const Dimension& dimension : result.dimensions) {
      EXPECT_GE(dimension.expected, 1);
      EXPECT_LE(dimension.expected, 5);
      EXPECT_EQ(dimension.score, std::nearbyint(dimension.expected));
    }
    EXPECT_EQ(result.rationale.find("Too short") != std::string::npos, clip.frames < 3);
    for (const auto& [name, value] : result.measures) EXPECT_TRUE(std::isfinite(value)) << name;
  }
}

// P1: the same bits alone, in another order, in other company.
TEST(PixelsJudge, CompanyChangesNothing) {
  std::vector<Request> requests;
  for (const double noise : {0.0, 5.0, 10.0, 15.0})
    requests.push_back({make_clip({.noise = noise}), {}});
  const JudgePtr judge = make_pixels_judge();
  const auto together = judge->judge(requests, {});
  std::reverse(requests.begin(), requests.end());
  const auto reversed = judge->judge(requests, {});
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::string mine = to_json(together[i], false);
    EXPECT_EQ(mine, to_json(reversed[requests.size() - 1 - i], false));
    EXPECT_EQ(
        mine,
        to_json(make_pixels_judge()->judge({&requests[requests.size() - 1 - i], 1}, {})[0], false));
  }
}

// A planar view of the same pixels gives the same judgement as an interleaved one.
TEST(PixelsJudge, StridesDoNotMatter) {
  const VideoPtr interleaved = make_clip({.noise = 4});
  const std::vector<std::int64_t> all{0, 1, 2, 3, 4, 5, 6, 7};
  const TensorView from = interleaved->read(all);
  auto planar = std::make_shared<std::vector<std::uint8_t>>(8 * 3 * 64 * 96);
  TensorView to;
  to.data = planar->data();
  to.shape = from.shape;
  to.strides = {3 * 64 * 96, 64 * 96, 96, 1};
  to.owner = planar;
  for (std::int64_t t = 0; t < 8; ++t) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < 64; ++y) {
        for (std::int64_t x = 0; x < 96; ++x) {
          (*planar)[static_cast<std::size_t>(t * to.strides[0] + c * to.strides[1] + y * 96 + x)] =
              static_cast<std::uint8_t*>(from.data)[t * from.strides[0] + c * from.strides[1] +
                                                    y * from.strides[2] + x * from.strides[3]];
        }
      }
    }
  }
  EXPECT_EQ(to_json(judged(video_from_frames(from, {24, 1})), false),
            to_json(judged(video_from_frames(to, {24, 1})), false));
}

TEST(PixelsJudge, StopIsAFailureOfItsOwn) {
  std::stop_source stop;
  stop.request_stop();
  const Request request{make_clip({}), {}};
  const Result result = make_pixels_judge()->judge({&request, 1}, stop.get_token()).front();
  EXPECT_EQ(std::get<Failure>(result).code, "cancelled");
}

}  // namespace
}  // namespace bestreel
