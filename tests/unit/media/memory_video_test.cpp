// Frames in memory as a Video.
#include <numeric>

#include "tests/unit/media/media_fixture.h"

namespace bestreel::media_test {
namespace {

/// (t, 3, h, w) planar; each value is its own place, modulo 251.
TensorView counting_frames(std::int64_t t, std::int64_t h, std::int64_t w) {
  const auto count = static_cast<std::size_t>(t * 3 * h * w);
  std::shared_ptr<std::uint8_t[]> memory(new std::uint8_t[count]);
  for (std::size_t i = 0; i < count; ++i) memory[i] = static_cast<std::uint8_t>(i % 251);
  TensorView view;
  view.data = memory.get();
  view.shape = {t, 3, h, w};
  view.strides = {3 * h * w, h * w, w, 1};
  view.owner = std::move(memory);
  return view;
}

void expect_frame(const TensorView& read, std::int64_t slot, const TensorView& source,
                  std::int64_t frame) {
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t y = 0; y < source.dim(2); ++y) {
      for (std::int64_t x = 0; x < source.dim(3); ++x) {
        ASSERT_EQ(value_at(read, slot, c, y, x), value_at(source, frame, c, y, x));
      }
    }
  }
}

// The timeline follows from the rate.
TEST(MemoryVideoTest, HasATimeline) {
  const VideoPtr video = video_from_frames(counting_frames(5, 4, 6), {25, 2});
  EXPECT_EQ(video->info().frame_count, 5);
  EXPECT_EQ(video->info().width, 6);
  EXPECT_EQ(video->info().height, 4);
  EXPECT_EQ(video->info().container, "memory");
  EXPECT_EQ(video->info().codec, "raw");
  EXPECT_EQ(video->path(), "");
  EXPECT_DOUBLE_EQ(video->info().duration, 0.4);
  EXPECT_DOUBLE_EQ(video->info().times[3], 0.24);
}

// Evenly spaced frames are a view: not one byte is copied.
TEST(MemoryVideoTest, ReadsEvenlySpacedFramesWithoutCopy) {
  const TensorView frames = counting_frames(9, 4, 6);
  const VideoPtr video = video_from_frames(frames, {16, 1});
  const TensorView read = video->read(std::vector<std::int64_t>{1, 4, 7});
  EXPECT_EQ(read.data, static_cast<std::uint8_t*>(frames.data) + frames.strides[0]);
  EXPECT_EQ(read.shape, (std::vector<std::int64_t>{3, 3, 4, 6}));
  EXPECT_EQ(read.owner, frames.owner);
  expect_frame(read, 0, frames, 1);
  expect_frame(read, 2, frames, 7);
  EXPECT_EQ(video->read({}).shape, (std::vector<std::int64_t>{0, 3, 4, 6}));
}

// Any other choice is gathered, repeats included.
TEST(MemoryVideoTest, GathersAnyOtherFrames) {
  const TensorView frames = counting_frames(6, 4, 6);
  const std::vector<std::int64_t> indices{5, 0, 0, 3};
  const TensorView read = video_from_frames(frames, {16, 1})->read(indices);
  ASSERT_EQ(read.dim(0), 4);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    expect_frame(read, static_cast<std::int64_t>(i), frames, indices[i]);
  }
}

// On a device, views work (nothing is touched) and a gather is refused, not crashed into.
TEST(MemoryVideoTest, LeavesDeviceMemoryAlone) {
  TensorView frames = counting_frames(6, 4, 6);
  frames.device.kind = DeviceKind::kCuda;
  const VideoPtr video = video_from_frames(frames, {16, 1});
  EXPECT_EQ(video->read(std::vector<std::int64_t>{0, 2, 4}).device.kind, DeviceKind::kCuda);
  const Error error = error_of([&] { video->read(std::vector<std::int64_t>{4, 2}); });
  EXPECT_EQ(error.code(), "usage");
  EXPECT_NE(error.sentence().find("device"), std::string::npos);
}

// Shapes, types, rates and indices that cannot be meant.
TEST(MemoryVideoTest, RefusesWhatCannotBeMeant) {
  const TensorView good = counting_frames(2, 4, 6);
  const auto code_of = [](TensorView frames, Rational fps) {
    return error_of([&] { video_from_frames(std::move(frames), fps); }).code();
  };
  TensorView bad = good;
  bad.shape = {2, 4, 6, 3};
  EXPECT_EQ(code_of(bad, {16, 1}), "usage");
  bad = good;
  bad.shape[0] = 0;
  EXPECT_EQ(code_of(bad, {16, 1}), "usage");
  bad = good;
  bad.dtype = DType::kFloat32;
  EXPECT_EQ(code_of(bad, {16, 1}), "usage");
  bad = good;
  bad.data = nullptr;
  EXPECT_EQ(code_of(bad, {16, 1}), "usage");
  EXPECT_EQ(code_of(good, {0, 1}), "usage");
  EXPECT_EQ(code_of(good, {16, 0}), "usage");
  const VideoPtr video = video_from_frames(good, {16, 1});
  for (const std::int64_t index : {-1, 2}) {
    EXPECT_EQ(error_of([&] { video->read(std::vector<std::int64_t>{index}); }).code(), "usage");
  }
}

}  // namespace
}  // namespace bestreel::media_test
