// What VideoWriter writes, and what it leaves behind when it cannot.
#include "core/media/video_writer.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>

#include "tests/unit/base/full_disk.h"
#include "tests/unit/media/media_fixture.h"

namespace bestreel::media_test {
namespace {

/// A smooth picture that moves, (t, 3, h, w), interleaved or planar in memory.
TensorView moving_picture(std::int64_t t, std::int64_t h, std::int64_t w, bool planar = false) {
  std::shared_ptr<std::uint8_t[]> memory(new std::uint8_t[static_cast<std::size_t>(t * h * w * 3)]);
  TensorView view;
  view.data = memory.get();
  view.shape = {t, 3, h, w};
  view.strides = planar ? std::vector<std::int64_t>{3 * h * w, h * w, w, 1}
                        : std::vector<std::int64_t>{3 * h * w, 1, 3 * w, 3};
  for (std::int64_t i = 0; i < t; ++i) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < h; ++y) {
        for (std::int64_t x = 0; x < w; ++x) {
          const double wave = std::sin(0.05 * static_cast<double>(x + 2 * i) +
                                       0.07 * static_cast<double>(y) + static_cast<double>(c));
          memory[static_cast<std::size_t>(i * view.strides[0] + c * view.strides[1] +
                                          y * view.strides[2] + x * view.strides[3])] =
              static_cast<std::uint8_t>(std::lround(128 + 100 * wave));
        }
      }
    }
  }
  view.owner = std::move(memory);
  return view;
}

double psnr(const TensorView& a, const TensorView& b) {
  double sum = 0;
  double count = 0;
  for (std::int64_t t = 0; t < a.dim(0); ++t) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < a.dim(2); ++y) {
        for (std::int64_t x = 0; x < a.dim(3); ++x, ++count) {
          sum += std::pow(value_at(a, t, c, y, x) - value_at(b, t, c, y, x), 2);
        }
      }
    }
  }
  return 10 * std::log10(255 * 255 / (sum / count));
}

class VideoWriterTest : public MediaTest {
 protected:
  std::string ffprobe(const std::string& arguments) const {
    const std::string command = "cd '" + folder_.string() + "' && ffprobe -v error " + arguments;
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string output;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
    ::pclose(pipe);
    return output;
  }
  void write_video(const std::string& name, const TensorView& frames,
                   VideoWriterOptions options = {}) const {
    VideoWriter writer(path(name), std::move(options));
    writer.add(frames);
    writer.finish();
  }
  bool nothing_left(const std::string& name) const {
    return !std::filesystem::exists(path(name)) && std::filesystem::is_empty(folder_);
  }
};

// FFV1 gives every value back, at an odd size and for noise, and equal frames give equal files.
TEST_F(VideoWriterTest, LosslessIsBitExact) {
  constexpr std::int64_t kFrames = 5, kHeight = 19, kWidth = 33;
  std::shared_ptr<std::uint8_t[]> noise(new std::uint8_t[kFrames * 3 * kHeight * kWidth]);
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < kFrames * 3 * kHeight * kWidth; ++i) {
    state = state * 1664525U + 1013904223U;
    noise[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(state >> 24);
  }
  TensorView frames;
  frames.data = noise.get();
  frames.shape = {kFrames, 3, kHeight, kWidth};
  frames.strides = {3 * kHeight * kWidth, kHeight * kWidth, kWidth, 1};
  frames.owner = noise;
  const VideoWriterOptions options{.fps = {16, 1}, .coding = VideoCoding::kFfv1};
  write_video("noise.mkv", frames, options);
  write_video("again.mkv", frames, options);

  const VideoPtr video = open_video(path("noise.mkv"));
  EXPECT_EQ(video->info().codec, "ffv1");
  const std::vector<std::int64_t> all{0, 1, 2, 3, 4};
  const TensorView read = video->read(all);
  ASSERT_EQ(read.shape, frames.shape);
  for (std::int64_t t = 0; t < kFrames; ++t) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < kHeight; ++y) {
        for (std::int64_t x = 0; x < kWidth; ++x) {
          ASSERT_EQ(value_at(read, t, c, y, x), value_at(frames, t, c, y, x));
        }
      }
    }
  }
  EXPECT_EQ(contents(path("noise.mkv")), contents(path("again.mkv")));
}

// What is read back is what was written, to within the coding loss, colours included.
TEST_F(VideoWriterTest, RoundTrip) {
  const TensorView frames = moving_picture(20, 96, 160);
  write_video("a.mp4", frames, {.fps = {24000, 1001}});
  const VideoPtr video = open_video(path("a.mp4"));
  EXPECT_EQ(video->info().frame_count, 20);
  EXPECT_EQ(video->info().width, 160);
  EXPECT_EQ(video->info().height, 96);
  EXPECT_EQ(video->info().codec, "h264");
  EXPECT_EQ(video->info().pixel_format, "yuv420p");
  EXPECT_NEAR(video->info().fps.value(), 24000.0 / 1001, 1e-6);
  EXPECT_NEAR(video->info().duration, 20 * 1001.0 / 24000, 1e-4);
  EXPECT_FALSE(video->info().variable_frame_rate);
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < 20; ++i) all.push_back(i);
  EXPECT_GT(psnr(video->read(all), frames), 37);  // halved chroma of three crossing waves
}

// Flat colours come back within the rounding of 8-bit YUV: matrix, range and tags agree.
TEST_F(VideoWriterTest, KeepsColours) {
  for (const std::array<int, 3> colour : {std::array<int, 3>{192, 48, 32},
                                          {16, 200, 90},
                                          {250, 250, 250},
                                          {3, 3, 3},
                                          {20, 40, 230}}) {
    TensorView frames = moving_picture(2, 64, 64);
    auto* bytes = static_cast<std::uint8_t*>(frames.data);
    for (int i = 0; i < 2 * 64 * 64 * 3; ++i) {
      bytes[i] = static_cast<std::uint8_t>(colour[static_cast<std::size_t>(i % 3)]);
    }
    write_video("a.mp4", frames, {.crf = 5});
    const TensorView back = open_video(path("a.mp4"))->read(std::vector<std::int64_t>{1});
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(value_at(back, 0, static_cast<std::int64_t>(c), 30, 30), colour[c], 3);
    }
  }
  EXPECT_EQ(ffprobe("-show_entries stream=color_space,color_range,color_transfer,color_primaries "
                    "-of csv=p=0 a.mp4"),
            "tv,bt709,bt709,bt709\n");
}

// The index stands before the pictures, so that a browser starts before it has the whole file.
TEST_F(VideoWriterTest, StartsFast) {
  write_video("a.mp4", moving_picture(10, 64, 64));
  const std::string bytes = contents(path("a.mp4"));
  const std::size_t moov = bytes.find("moov");
  ASSERT_NE(moov, std::string::npos);
  EXPECT_LT(moov, bytes.find("mdat"));
}

// Prompt, seed and scores can be read by other programs, character for character.
TEST_F(VideoWriterTest, KeepsMetadata) {
  const std::string prompt = "Ein Fuchs, \"schnell\" & leise; \xe7\x8b\x90 = 100 %\nzweite Zeile";
  write_video("a.mp4", moving_picture(3, 64, 64),
              {.metadata = {{"prompt", prompt}, {"seed", "42"}, {"scores", "{\"visual\":4.25}"}}});
  EXPECT_EQ(ffprobe("-show_entries format_tags=prompt -of default=nk=1:nw=1 a.mp4"), prompt + "\n");
  EXPECT_EQ(ffprobe("-show_entries format_tags=seed -of default=nk=1:nw=1 a.mp4"), "42\n");
  EXPECT_EQ(ffprobe("-show_entries format_tags=scores -of default=nk=1:nw=1 a.mp4"),
            "{\"visual\":4.25}\n");
}

// The same frames and options give the same bytes, whatever the memory layout and the batches.
TEST_F(VideoWriterTest, IsBitExact) {
  const TensorView frames = moving_picture(40, 98, 162);
  const VideoWriterOptions options{.metadata = {{"seed", "7"}}};
  write_video("a.mp4", frames, options);
  write_video("b.mp4", moving_picture(40, 98, 162, true), options);
  VideoWriter one_by_one(path("c.mp4"), options);
  for (std::int64_t i = 0; i < 40; ++i) {
    TensorView one = frames;
    one.shape[0] = 1;
    one.data = static_cast<std::uint8_t*>(frames.data) + i * frames.strides[0];
    one_by_one.add(one);
  }
  one_by_one.finish();
  const std::string bytes = contents(path("a.mp4"));
  EXPECT_GT(bytes.size(), 1000U);
  EXPECT_TRUE(bytes == contents(path("b.mp4")));
  EXPECT_TRUE(bytes == contents(path("c.mp4")));
}

// Odd sizes are padded to even ones by repeating the last column and row.
TEST_F(VideoWriterTest, PadsOddSizes) {
  for (const auto& [height, width] : {std::pair{35, 47}, {48, 47}, {35, 64}, {1, 1}, {17, 2}}) {
    const TensorView frames = moving_picture(3, height, width);
    write_video("a.mp4", frames, {.crf = 8});
    const VideoPtr video = open_video(path("a.mp4"));
    ASSERT_EQ(video->info().height, height + height % 2);
    ASSERT_EQ(video->info().width, width + width % 2);
    TensorView back = video->read(std::vector<std::int64_t>{0, 1, 2});
    for (std::int64_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(value_at(back, 2, c, back.dim(2) - 1, back.dim(3) - 1),
                  value_at(frames, 2, c, height - 1, width - 1), 14);
    }
  }
}

// The file appears at finish(), not before; without finish() nothing stays.
TEST_F(VideoWriterTest, AppearsWholeOrNotAtAll) {
  {
    VideoWriter writer(path("a.mp4"), {});
    writer.add(moving_picture(5, 64, 64));
    EXPECT_FALSE(std::filesystem::exists(path("a.mp4")));
  }
  EXPECT_TRUE(nothing_left("a.mp4"));
  write(path("b.mp4"), "old");
  VideoWriter writer(path("b.mp4"), {});
  writer.add(moving_picture(5, 64, 64));
  EXPECT_EQ(contents(path("b.mp4")), "old");
  writer.finish();
  EXPECT_EQ(open_video(path("b.mp4"))->info().frame_count, 5);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

// A full disk is named as such, and the part that was written is removed.
TEST_F(VideoWriterTest, SaysWhenTheDiskIsFull) {
  bestreel::testing::disk_is_full = true;
  const Error error = error_of([&] { write_video("a.mp4", moving_picture(30, 128, 128)); });
  bestreel::testing::disk_is_full = false;
  EXPECT_EQ(error.code(), "disk_full") << error.what();
  EXPECT_EQ(error.op(), "video");
  EXPECT_NE(error.sentence().find(path("a.mp4")), std::string::npos) << error.what();
  EXPECT_NE(error.sentence().find("free some space"), std::string::npos) << error.what();
  EXPECT_TRUE(nothing_left("a.mp4"));
}

// A limit on file sizes stops the writer in the middle; it says so and cleans up.
TEST_F(VideoWriterTest, SaysWhenAWriteFails) {
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = old_limit;
  limit.rlim_cur = 20000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Error error =
      error_of([&] { write_video("a.mp4", moving_picture(60, 256, 256), {.crf = 0}); });
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(error.code(), "write_failed") << error.what();
  EXPECT_NE(error.sentence().find(path("a.mp4")), std::string::npos) << error.what();
  EXPECT_NE(error.sentence().find("File too large"), std::string::npos) << error.what();
  EXPECT_TRUE(nothing_left("a.mp4"));
}

// Places where no file can be made.
TEST_F(VideoWriterTest, RefusesPlacesThatTakeNoFile) {
  Error error = error_of([&] { write_video("none/a.mp4", moving_picture(1, 64, 64)); });
  EXPECT_EQ(error.code(), "write_failed");
  EXPECT_NE(error.sentence().find("No such file or directory"), std::string::npos) << error.what();
  error = error_of([&] { VideoWriter(folder_.string(), {}); });
  EXPECT_EQ(error.code(), "write_failed");
  EXPECT_NE(error.sentence().find("is a folder"), std::string::npos) << error.what();
}

// Options and frames that cannot be meant.
TEST_F(VideoWriterTest, RefusesWhatCannotBeMeant) {
  const auto code_of = [&](VideoWriterOptions options) {
    return error_of([&] { VideoWriter(path("a.mp4"), std::move(options)); }).code();
  };
  EXPECT_EQ(code_of({.fps = {0, 1}}), "usage");
  EXPECT_EQ(code_of({.fps = {-16, 1}}), "usage");
  EXPECT_EQ(code_of({.fps = {16, 0}}), "usage");
  EXPECT_EQ(code_of({.crf = 52}), "usage");
  EXPECT_EQ(code_of({.crf = -1}), "usage");
  EXPECT_EQ(code_of({.preset = "hasty"}), "usage");

  VideoWriter writer(path("a.mp4"), {});
  EXPECT_EQ(error_of([&] { writer.finish(); }).code(), "usage");
  TensorView wrong = moving_picture(1, 64, 64);
  wrong.shape[1] = 1;
  EXPECT_EQ(error_of([&] { writer.add(wrong); }).code(), "usage");
  wrong = moving_picture(1, 64, 64);
  wrong.dtype = DType::kFloat32;
  EXPECT_EQ(error_of([&] { writer.add(wrong); }).code(), "usage");
  wrong = moving_picture(1, 64, 64);
  wrong.device.kind = DeviceKind::kCuda;
  EXPECT_EQ(error_of([&] { writer.add(wrong); }).code(), "usage");
  writer.add(moving_picture(1, 64, 64));
  const Error error = error_of([&] { writer.add(moving_picture(1, 64, 66)); });
  EXPECT_EQ(error.code(), "usage");
  EXPECT_NE(error.sentence().find("64 x 64"), std::string::npos) << error.what();
  EXPECT_NE(error.sentence().find("66 x 64"), std::string::npos) << error.what();
  writer.finish();
  EXPECT_EQ(error_of([&] { writer.add(moving_picture(1, 64, 64)); }).code(), "usage");
}

}  // namespace
}  // namespace bestreel::media_test
