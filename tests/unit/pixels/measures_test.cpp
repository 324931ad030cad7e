#include "reward/pixels/measures.h"

#include <gtest/gtest.h>

#include "clips.h"
#include "core/base/error.h"

namespace bestreel {
namespace {

using pixels::Measures;
using testing::Clip;
using testing::make_clip;

Measures measured(const Clip& clip) { return pixels::measure(*make_clip(clip), {}); }

/// Expects `value` to rise (or fall) strictly over the clips.
void expect_monotone(const std::vector<Clip>& clips, double Measures::*value, bool rising) {
  double before = 0;
  for (std::size_t i = 0; i < clips.size(); ++i) {
    const double now = measured(clips[i]).*value;
    if (i > 0) {
      EXPECT_TRUE(rising ? now > before : now < before)
          << "step " << i << ": " << before << " -> " << now;
    }
    before = now;
  }
}

// Each measure follows its own flaw, however strong it grows.
TEST(Measures, NoiseRisesWithNoise) {
  expect_monotone({{}, {.noise = 3}, {.noise = 8}, {.noise = 20}}, &Measures::noise, true);
}
TEST(Measures, SharpnessFallsWithBlur) {
  expect_monotone({{.softness = 1}, {.softness = 2}, {.softness = 4}}, &Measures::sharpness, false);
}
TEST(Measures, FlickerRisesWithFlicker) {
  std::vector<Clip> clips;
  for (const double strength : {0.0, 4.0, 12.0, 30.0}) {
    clips.push_back(
        {.brightness = [=](std::int64_t i) { return i % 2 == 0 ? strength : -strength; }});
  }
  expect_monotone(clips, &Measures::flicker, true);
}
TEST(Measures, DynamicDegreeRisesWithSpeed) {
  expect_monotone({{.speed = 0}, {.speed = 0.3}, {.speed = 1}}, &Measures::dynamic_degree, true);
}

// A slow fade is no flicker: it does not come back.
TEST(Measures, AFadeIsNoFlicker) {
  const Measures fade =
      measured({.brightness = [](std::int64_t i) { return 2.0 * static_cast<double>(i) - 24; }});
  EXPECT_LT(fade.flicker, 0.2);
}

// Held frames are counted, and motion stops being smooth.
TEST(Measures, RepeatedFramesAreFound) {
  const Measures smooth = measured({}),
                 held = measured({.shown = [](std::int64_t i) { return i - i % 3; }});
  EXPECT_EQ(smooth.repeated, 0);
  EXPECT_NEAR(held.repeated, 2.0 / 3, 0.08);
  EXPECT_LT(held.motion_smoothness, smooth.motion_smoothness - 0.2);
}

// An 8x8 grid stands out; the same picture without it does not.
TEST(Measures, BlockinessSeesTheGrid) {
  cv::Mat plain(64, 96, CV_8U), blocked;
  for (int y = 0; y < plain.rows; ++y) {
    for (int x = 0; x < plain.cols; ++x) {
      plain.at<std::uint8_t>(y, x) =
          static_cast<std::uint8_t>(100 + 20 * std::sin(0.11 * x + 0.07 * y));
    }
  }
  blocked = plain.clone();
  for (int y = 0; y < plain.rows; ++y) {
    for (int x = 0; x < plain.cols; ++x) {
      blocked.at<std::uint8_t>(y, x) =
          static_cast<std::uint8_t>(plain.at<std::uint8_t>(y, x) + 6 * ((x / 8 + y / 8) % 2));
    }
  }
  EXPECT_LT(pixels::blockiness({pixels::measure_frame(plain)}), 3);
  EXPECT_GT(pixels::blockiness({pixels::measure_frame(blocked)}), 10);
}

// A long video is looked at in windows: 128 frames, all within it, memory bounded.
TEST(Measures, LongVideosAreSampled) {
  const Measures m = measured({.frames = 1000, .width = 32, .height = 32});
  EXPECT_EQ(m.frames.size(), 128u);
  EXPECT_EQ(m.frames.front(), 0);
  EXPECT_EQ(m.frames.back(), 999);
}

TEST(Measures, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(pixels::measure(*make_clip({}), stop.get_token()), Cancelled);
}

}  // namespace
}  // namespace bestreel
