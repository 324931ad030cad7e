#include "reward/videoscore2/frames.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace bestreel::videoscore2 {
namespace {

using Indices = std::vector<std::int64_t>;
using Size = std::pair<std::int64_t, std::int64_t>;

// Verifies the count: even, at least 4 where the video has them, and never more than it has.
TEST(Frames, CountIsEvenAndBounded) {
  const FrameOptions two{2.0, 0};
  EXPECT_EQ(choose_frames(81, 16, two).size(), 10u);
  EXPECT_EQ(choose_frames(49, 8, two).size(), 12u);
  EXPECT_EQ(choose_frames(16, 16, two).size(), 4u);
  EXPECT_EQ(choose_frames(3, 16, two), (Indices{0, 2}));
  EXPECT_EQ(choose_frames(2, 16, two), (Indices{0, 1}));
  EXPECT_EQ(choose_frames(4, 1, {8.0, 0}), (Indices{0, 1, 2, 3}));
  EXPECT_EQ(choose_frames(90000, 25, two).size(), 768u);
  EXPECT_EQ(choose_frames(90000, 25, {2.0, 10}).size(), 10u);
}

// Verifies that frames spread from the first to the last, rounding half to even.
TEST(Frames, SpreadFromFirstToLast) {
  EXPECT_EQ(choose_frames(16, 16, {}), (Indices{0, 5, 10, 15}));
  EXPECT_EQ(choose_frames(6, 4, {}), (Indices{0, 2, 3, 5}));
}

// Verifies our own rule: a video of one frame shows it twice.
TEST(Frames, OneFrameIsShownTwice) { EXPECT_EQ(choose_frames(1, 25, {}), (Indices{0, 0})); }

// Verifies that a video without frames or without a rate is refused.
TEST(Frames, RefusesNoFramesAndNoRate) {
  EXPECT_THROW(choose_frames(0, 25, {}), Error);
  EXPECT_THROW(choose_frames(10, 0, {}), Error);
}

// Verifies smart_resize: Python's rounding, both limits, the aspect limit.
TEST(Frames, SmartResize) {
  EXPECT_EQ(smart_resize(70, 70, 28, 0, 1e9), Size(56, 56));    // 2.5 to even
  EXPECT_EQ(smart_resize(98, 98, 28, 0, 1e9), Size(112, 112));  // 3.5 to even
  EXPECT_EQ(smart_resize(10, 10, 28, 0, 1e9), Size(28, 28));
  EXPECT_EQ(smart_resize(480, 832, 28, 100352, 602112), Size(476, 840));
  EXPECT_EQ(smart_resize(720, 1280, 28, 100352, 602112), Size(560, 1008));
  EXPECT_EQ(smart_resize(64, 64, 28, 100352, 602112), Size(336, 336));
  EXPECT_THROW(smart_resize(10, 2001, 28, 0, 1e9), Error);
}

// Verifies that many frames share the pixel budget.
TEST(Frames, LongVideosGetSmallerFrames) {
  EXPECT_EQ(frame_size(10, 720, 1280, 28), Size(560, 1008));
  const auto [height, width] = frame_size(768, 720, 1280, 28);
  EXPECT_LE(height * width, 235200);
}

// Verifies that resizing rounds and clamps instead of wrapping, and leaves a right size alone.
TEST(Frames, ResizeClampsOvershoot) {
  at::Tensor edge = at::zeros({1, 3, 8, 64}, at::kByte);
  edge.narrow(3, 32, 32).fill_(255);
  const at::Tensor wide = resize_frames(edge, 8, 96);
  EXPECT_EQ(wide.scalar_type(), at::kByte);
  EXPECT_EQ(wide.min().item<int>(), 0);
  EXPECT_EQ(wide.max().item<int>(), 255);
  EXPECT_EQ(wide[0][0][0][0].item<int>(), 0);
  EXPECT_EQ(wide[0][0][0][95].item<int>(), 255);
  EXPECT_TRUE(at::equal(resize_frames(edge, 8, 64), edge));
}

// Verifies the order of patches and of the numbers in one: merged block by block, then channel,
// time, row, column.
TEST(Frames, PatchOrder) {
  ProcessorConfig config;
  config.image_mean = {0, 0, 0};
  config.image_std = {1, 1, 1};
  config.rescale_factor = 1;
  const at::Tensor frames = at::arange(2 * 3 * 28 * 56, at::kFloat).view({2, 3, 28, 56});
  const at::Tensor patches = to_patches(frames, config);
  ASSERT_EQ(patches.sizes(), at::IntArrayRef({8, 1176}));
  const auto pixel = [&](int t, int c, int y, int x) { return frames[t][c][y][x].item<float>(); };
  EXPECT_EQ(patches[0][0].item<float>(), pixel(0, 0, 0, 0));
  EXPECT_EQ(patches[1][0].item<float>(), pixel(0, 0, 0, 14));
  EXPECT_EQ(patches[2][0].item<float>(), pixel(0, 0, 14, 0));
  EXPECT_EQ(patches[4][0].item<float>(), pixel(0, 0, 0, 28));
  EXPECT_EQ(patches[0][1].item<float>(), pixel(0, 0, 0, 1));
  EXPECT_EQ(patches[0][14].item<float>(), pixel(0, 0, 1, 0));
  EXPECT_EQ(patches[0][196].item<float>(), pixel(1, 0, 0, 0));
  EXPECT_EQ(patches[0][392].item<float>(), pixel(0, 1, 0, 0));
}

// Verifies that an odd number of frames repeats the last one.
TEST(Frames, OddCountRepeatsTheLastFrame) {
  ProcessorConfig config;
  at::Tensor frames = at::zeros({3, 3, 28, 28}, at::kFloat);
  frames[2].fill_(200);
  const at::Tensor patches = to_patches(frames, config).view({2, 4, 3, 2, 196});
  EXPECT_TRUE(at::equal(patches[1].select(2, 0), patches[1].select(2, 1)));
  EXPECT_FALSE(at::equal(patches[0].select(2, 0), patches[1].select(2, 0)));
}

// Verifies that a checkpoint's own limits shrink frames further.
TEST(Frames, CheckpointLimitsApply) {
  ProcessorConfig config;
  config.max_pixels = 28 * 28 * 4;
  config.min_pixels = 28 * 28;
  const at::Tensor frames = at::full({1, 3, 112, 112}, 7, at::kByte);
  EXPECT_EQ(resize_for_processor(frames, config).sizes(), at::IntArrayRef({1, 3, 56, 56}));
}

}  // namespace
}  // namespace bestreel::videoscore2
