// Every usual kind of file: frame counts, times, and each frame found by its number.
#include "core/media/video.h"

#include <algorithm>
#include <numeric>
#include <ostream>
#include <random>

#include "tests/unit/media/media_fixture.h"

namespace bestreel::media_test {
namespace {

struct Kind {
  std::string file;       ///< its extension names the container
  std::string encoder;    ///< the test is skipped, and says so, where ffmpeg lacks it
  std::string arguments;  ///< for the encoder
  friend void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.file; }
};

class EveryKind : public MediaTest, public ::testing::WithParamInterface<Kind> {};

// Whatever the container and codec, all 75 frames are counted, timed and found, in any order.
TEST_P(EveryKind, FindsEachFrame) {
  const Kind& kind = GetParam();
  if (!has_encoder(kind.encoder)) GTEST_SKIP() << "ffmpeg has no encoder " << kind.encoder;
  constexpr int kFrames = 75;
  ASSERT_TRUE(ffmpeg(numbered_frames(kFrames) + " -vf \"" + kNumber + "\" -c:v " + kind.encoder +
                     " " + kind.arguments + " " + kind.file))
      << ffmpeg_log();

  const VideoPtr video = open_video(path(kind.file));
  const VideoInfo& info = video->info();
  ASSERT_EQ(info.frame_count, kFrames);
  EXPECT_EQ(info.width, 64);
  EXPECT_EQ(info.height, 48);
  EXPECT_NEAR(info.fps.value(), 25, 1e-3);
  EXPECT_NEAR(info.duration, 3, 0.01);
  EXPECT_FALSE(info.variable_frame_rate);
  ASSERT_EQ(info.times.size(), static_cast<std::size_t>(kFrames));
  for (int i = 0; i < kFrames; ++i) {
    EXPECT_NEAR(info.times[static_cast<std::size_t>(i)], i / 25.0, 0.0011) << i;
  }

  std::vector<std::int64_t> order(kFrames);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(7);
  std::shuffle(order.begin(), order.end(), random);
  for (const std::int64_t index : order) EXPECT_EQ(number_at(*video, index), index);
  order.push_back(order.front());  // together, with one repeated
  const TensorView together = video->read(order);
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(number_in(together, static_cast<std::int64_t>(i)), order[i]);
  }
}

const Kind kKinds[] = {
    {"b_frames.mp4", "libx264", "-bf 3 -g 20"},
    {"open_group.mp4", "libx264", "-bf 3 -g 20 -x264-params open-gop=1"},
    {"open_group.mkv", "libx264", "-bf 3 -g 20 -x264-params open-gop=1"},
    {"gradual_refresh.mkv", "libx264", "-g 20 -x264-params intra-refresh=1"},
    {"fragments.mp4", "libx264", "-g 20 -movflags frag_keyframe+empty_moov"},
    {"camera.mov", "libx264", "-bf 2 -g 12"},
    {"broadcast.ts", "libx264", "-bf 3 -g 20"},
    {"interlaced.ts", "libx264", "-g 20 -flags +ildct+ilme"},
    {"no_timestamps.avi", "libx264", "-bf 3 -g 20"},
    {"bare.h264", "libx264", "-bf 3 -g 20"},
    {"flash.flv", "libx264", "-bf 3 -g 20"},
    {"ten_bit.mp4", "libx264", "-bf 3 -g 20 -pix_fmt yuv420p10le"},
    {"full_chroma.mp4", "libx264", "-g 20 -pix_fmt yuv444p"},
    {"rgb.mkv", "libx264rgb", "-g 20"},
    {"hevc.mp4", "libx265", "-x265-params log-level=none:keyint=20"},
    {"hevc_ten_bit.mkv", "libx265", "-pix_fmt yuv420p10le -x265-params log-level=none:keyint=20"},
    {"vp9.webm", "libvpx-vp9", "-g 20 -b:v 200k"},
    {"hidden_frames.webm", "libvpx", "-g 20 -b:v 200k -auto-alt-ref 1 -lag-in-frames 16"},
    {"av1.mp4", "libaom-av1", "-g 20 -cpu-used 8"},
    {"mpeg4.avi", "mpeg4", "-q:v 2 -g 20"},
    {"mpeg4_b.avi", "mpeg4", "-q:v 2 -g 20 -bf 2"},
    {"motion_jpeg.avi", "mjpeg", "-q:v 2 -pix_fmt yuvj420p"},
    {"raw.avi", "rawvideo", ""},
    {"program.mpg", "mpeg2video", "-q:v 2 -g 15 -bf 2"},
    {"mpeg2.ts", "mpeg2video", "-q:v 2 -g 15 -bf 2"},
    {"lossless.mkv", "ffv1", ""},
    {"studio.mov", "prores", ""},
    {"theora.ogv", "libtheora", "-q:v 8 -g 20"},
    {"windows.wmv", "wmv2", "-q:v 2 -g 20"},
    {"animation.gif", "gif", ""},
    {"animation.apng", "apng", ""},
};
INSTANTIATE_TEST_SUITE_P(Media, EveryKind, ::testing::ValuesIn(kKinds), [](const auto& test) {
  std::string name = test.param.file;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

using VideoTest = MediaTest;

// With a variable frame rate each frame keeps the time that it was recorded at.
TEST_F(VideoTest, KeepsTheTimesOfAVariableFrameRate) {
  for (const std::string file : {"vfr.mp4", "vfr.mkv"}) {
    ASSERT_TRUE(ffmpeg("-f lavfi -i color=c=gray:s=64x48:r=25:d=3 -vf \"" + kNumber +
                       ",select='not(mod(n,5))+gt(n,60)'\" -vsync vfr -c:v libx264 -g 8 " + file))
        << ffmpeg_log();
    std::vector<int> kept;
    for (int n = 0; n < 75; ++n) {
      if (n % 5 == 0 || n > 60) kept.push_back(n);
    }
    const VideoPtr video = open_video(path(file));
    EXPECT_TRUE(video->info().variable_frame_rate);
    ASSERT_EQ(video->info().times.size(), kept.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
      EXPECT_NEAR(video->info().times[i], kept[i] / 25.0, 0.0011);
      EXPECT_EQ(number_at(*video, static_cast<std::int64_t>(i)), kept[i]);
    }
  }
}

// Times begin at zero however late the stream starts.
TEST_F(VideoTest, CountsTimeFromTheFirstFrame) {
  ASSERT_TRUE(ffmpeg(numbered_frames(30) + " -vf \"" + kNumber + "\" -c:v libx264 a.mp4"));
  ASSERT_TRUE(ffmpeg("-itsoffset 1.5 -i a.mp4 -c copy b.mkv")) << ffmpeg_log();
  const VideoPtr video = open_video(path("b.mkv"));
  EXPECT_EQ(video->info().times.front(), 0);
  EXPECT_NEAR(video->info().times.back(), 29 / 25.0, 0.0011);
  EXPECT_EQ(number_at(*video, 29), 29);
}

// A cut that only an edit list marks (the frames before it are in the file, not in the video).
TEST_F(VideoTest, LeavesOutWhatAnEditListHides) {
  ASSERT_TRUE(ffmpeg(numbered_frames(75) + " -vf \"" + kNumber + "\" -c:v libx264 -g 50 a.mp4"));
  ASSERT_TRUE(ffmpeg("-ss 0.4 -i a.mp4 -c copy b.mp4")) << ffmpeg_log();
  const VideoPtr video = open_video(path("b.mp4"));
  ASSERT_EQ(video->info().frame_count, 65);
  EXPECT_EQ(number_at(*video, 64), 74);
  EXPECT_EQ(number_at(*video, 0), 10);
  EXPECT_EQ(number_at(*video, 45), 55);
}

// A copy that begins inside an open group of pictures: frames whose references are gone are not
// part of the video.
TEST_F(VideoTest, LeavesOutFramesWhoseReferencesWereCutOff) {
  ASSERT_TRUE(ffmpeg(numbered_frames(75) + " -vf \"" + kNumber +
                     "\" -c:v libx264 -bf 3 -g 20 -sc_threshold 0 -x264-params open-gop=1 a.mp4"));
  ASSERT_TRUE(ffmpeg("-ss 1.2 -i a.mp4 -c copy -avoid_negative_ts 0 b.mkv")) << ffmpeg_log();
  const VideoPtr video = open_video(path("b.mkv"));
  const std::int64_t count = video->info().frame_count;
  ASSERT_GT(count, 30);
  const int first = number_at(*video, 0);
  EXPECT_EQ(first + count, 75);
  for (std::int64_t i = count - 1; i >= 0; --i) EXPECT_EQ(number_at(*video, i), first + i);
}

// Sizes that chroma subsampling cannot halve, down to a single pixel.
TEST_F(VideoTest, ReadsOddSizes) {
  for (const std::string size : {"161:121", "47:35", "1:1", "3:2", "17:1"}) {
    ASSERT_TRUE(ffmpeg("-f lavfi -i color=c=0xC03020:s=162x122:r=25 -frames:v 3 -vf scale=" + size +
                       ",format=yuv420p -c:v ffv1 odd.mkv"))
        << ffmpeg_log();
    const VideoPtr video = open_video(path("odd.mkv"));
    EXPECT_EQ(std::to_string(video->info().width) + ":" + std::to_string(video->info().height),
              size);
    const TensorView frames = video->read(std::vector<std::int64_t>{2, 0});
    for (std::int64_t y = 0; y < frames.dim(2); ++y) {
      for (std::int64_t x = 0; x < frames.dim(3); ++x) {
        EXPECT_NEAR(value_at(frames, 0, 0, y, x), 0xC0, 3);
        EXPECT_NEAR(value_at(frames, 1, 1, y, x), 0x30, 3);
        EXPECT_NEAR(value_at(frames, 1, 2, y, x), 0x20, 3);
      }
    }
  }
}

// A picture is turned as a player would show it; the red quarter tells where the top left went.
TEST_F(VideoTest, TurnsByTheDisplayMatrix) {
  struct Turn {
    int clockwise, width, height;
    int red_x, red_y;  ///< where the stored top left corner is shown
  };
  ASSERT_TRUE(
      ffmpeg("-f lavfi -i color=c=blue:s=64x32:r=25 -frames:v 3 -vf "
             "drawbox=w=32:h=16:c=red:t=fill -c:v libx264 -pix_fmt yuv444p a.mp4"));
  for (const Turn& turn : {Turn{0, 64, 32, 8, 8}, Turn{90, 32, 64, 24, 8},
                           Turn{180, 64, 32, 56, 24}, Turn{270, 32, 64, 8, 56}}) {
    // ffmpeg's old option turns counterclockwise, its new one takes the display rotation.
    const std::string degrees = std::to_string((360 - turn.clockwise) % 360);
    const bool made = ffmpeg("-i a.mp4 -c copy -metadata:s:v rotate=" + degrees + " b.mp4") &&
                      (turn.clockwise == 0 || open_video(path("b.mp4"))->info().rotation != 0);
    if (!made) {
      ASSERT_TRUE(ffmpeg("-display_rotation:v:0 " + degrees + " -i a.mp4 -c copy b.mp4"))
          << ffmpeg_log();
    }
    const VideoPtr video = open_video(path("b.mp4"));
    EXPECT_EQ(video->info().rotation, turn.clockwise);
    ASSERT_EQ(video->info().width, turn.width);
    ASSERT_EQ(video->info().height, turn.height);
    const TensorView frames = video->read(std::vector<std::int64_t>{1});
    EXPECT_GT(value_at(frames, 0, 0, turn.red_y, turn.red_x), 200) << turn.clockwise;
    EXPECT_LT(value_at(frames, 0, 2, turn.red_y, turn.red_x), 60) << turn.clockwise;
    EXPECT_GT(value_at(frames, 0, 2, turn.height - 1 - turn.red_y, turn.width - 1 - turn.red_x),
              200);
  }
}

// What is transparent shows black, what is half transparent is half as bright.
TEST_F(VideoTest, CompositesAlphaOverBlack) {
  const std::string layers =
      "-f lavfi -i color=c=white:s=96x32:r=25 -frames:v 4 -vf "
      "\"format=yuva444p,geq=lum=235:cb=128:cr=128:a='if(lt(X,32),0,if(lt(X,64),128,255))'\" ";
  for (const std::string output :
       {"-c:v qtrle -pix_fmt argb a.mov", "-c:v png b.mov",
        "-c:v libvpx-vp9 -pix_fmt yuva420p -b:v 1M c.webm", "-c:v ffv1 -pix_fmt yuva444p d.mkv"}) {
    ASSERT_TRUE(ffmpeg(layers + output)) << ffmpeg_log();
    const VideoPtr video = open_video(path(output.substr(output.rfind(' ') + 1)));
    EXPECT_TRUE(video->info().has_alpha) << output;
    const TensorView frames = video->read(std::vector<std::int64_t>{3});
    for (std::int64_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(value_at(frames, 0, c, 16, 8), 0, 6) << output;
      EXPECT_NEAR(value_at(frames, 0, c, 16, 48), 128, 8) << output;
      EXPECT_NEAR(value_at(frames, 0, c, 16, 88), 255, 6) << output;
    }
  }
}

// The matrix and range that a stream names are used; BT.601 when it names none.
TEST_F(VideoTest, HonoursMatrixAndRange) {
  const std::string colour = "-f lavfi -i color=c=0xC03020:s=64x48:r=25 -frames:v 2 -vf ";
  const std::string encode = " -c:v libx264 -qp 0 ";
  for (const std::string& arguments :
       {"scale=out_color_matrix=bt601:out_range=tv,format=yuv420p" + encode,
        "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p" + encode + "-colorspace bt709",
        "scale=out_color_matrix=bt601:out_range=pc,format=yuv420p" + encode + "-color_range pc",
        "scale=out_color_matrix=bt709:out_range=pc,format=yuv420p" + encode +
            "-color_range pc -colorspace bt709"}) {
    ASSERT_TRUE(ffmpeg(colour + arguments + " a.mp4")) << ffmpeg_log();
    const TensorView frames = open_video(path("a.mp4"))->read(std::vector<std::int64_t>{1});
    EXPECT_NEAR(value_at(frames, 0, 0, 20, 20), 0xC0, 4) << arguments;
    EXPECT_NEAR(value_at(frames, 0, 1, 20, 20), 0x30, 4) << arguments;
    EXPECT_NEAR(value_at(frames, 0, 2, 20, 20), 0x20, 4) << arguments;
  }
}

// A stream whose size changes midway is shown at the size it began with.
TEST_F(VideoTest, ScalesToTheFirstFrame) {
  ASSERT_TRUE(ffmpeg(numbered_frames(10) + " -vf \"" + kNumber + "\" -c:v libx264 a.ts"));
  ASSERT_TRUE(
      ffmpeg("-f lavfi -i color=c=gray:s=128x96:r=25 -frames:v 10 -vf "
             "\"format=yuv420p,geq=lum='235*mod(floor((N+10)/pow(2,floor(X/16))),2)':"
             "cb=128:cr=128\" -output_ts_offset 0.4 -c:v libx264 b.ts"));
  write(path("c.ts"), contents(path("a.ts")) + contents(path("b.ts")));
  const VideoPtr video = open_video(path("c.ts"));
  ASSERT_EQ(video->info().frame_count, 20);
  EXPECT_EQ(video->info().width, 64);
  for (std::int64_t i = 19; i >= 0; --i) EXPECT_EQ(number_at(*video, i), i);
}

// One frame is a video, and lasts as long as its frame rate says.
TEST_F(VideoTest, TakesASingleFrame) {
  for (const std::string file : {"one.mp4", "one.png", "one.jpg", "one.mkv"}) {
    ASSERT_TRUE(ffmpeg(numbered_frames(1) + " -vf \"" + kNumber + "\" " + file)) << ffmpeg_log();
    const VideoPtr video = open_video(path(file));
    EXPECT_EQ(video->info().frame_count, 1) << file;
    EXPECT_NEAR(video->info().duration, 0.04, 0.0011) << file;
    EXPECT_EQ(video->info().times, std::vector<double>{0}) << file;
    EXPECT_FALSE(video->info().variable_frame_rate) << file;
    EXPECT_EQ(number_at(*video, 0), 0) << file;
  }
}

// Names that libav would take for a protocol or a pattern are plain names here.
TEST_F(VideoTest, TakesAnyFileName) {
  ASSERT_TRUE(ffmpeg(numbered_frames(3) + " -vf \"" + kNumber + "\" -c:v libx264 a.mp4"));
  for (const std::string name :
       {"http:film.mp4", "%03d.mp4", "with space #1?.mp4", "\xc3\xa9.mp4"}) {
    std::filesystem::copy_file(path("a.mp4"), path(name));
    EXPECT_EQ(open_video(path(name))->info().frame_count, 3) << name;
  }
}

// Sound beside the pictures is noticed and otherwise ignored.
TEST_F(VideoTest, NoticesSound) {
  ASSERT_TRUE(ffmpeg("-f lavfi -i sine=d=2 " + numbered_frames(30) + " -vf \"" + kNumber +
                     "\" -c:v libx264 -g 10 a.mp4"))
      << ffmpeg_log();
  const VideoPtr video = open_video(path("a.mp4"));
  EXPECT_TRUE(video->info().has_audio);
  EXPECT_EQ(video->info().frame_count, 30);
  EXPECT_EQ(number_at(*video, 29), 29);
}

// Late frames are read without touching early ones, and early damage is no reason to refuse them.
TEST_F(VideoTest, SeeksPastEarlierFrames) {
  for (const std::string file : {"a.mp4", "a.mkv", "a.webm"}) {
    const std::string codec =
        file == "a.webm" ? "libvpx-vp9 -b:v 1M" : "libx264 -sc_threshold 0 -crf 10";
    ASSERT_TRUE(ffmpeg(numbered_frames(200) + " -vf \"" + kNumber +
                       ",noise=alls=20:allf=t\" -g 20 "
                       "-c:v " +
                       codec + " " + file))
        << ffmpeg_log();
    std::string bytes = contents(path(file));
    const std::vector<std::int64_t> late{150, 199};
    {
      const VideoPtr whole = open_video(path(file));
      ASSERT_EQ(whole->info().frame_count, 200);
    }
    // Rubbish in the middle of an early frame.
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 10),
              bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 10 + 300), '\x55');
    write(path(file), bytes);
    const VideoPtr video = open_video(path(file));
    const TensorView frames = video->read(late);
    EXPECT_EQ(number_in(frames, 0), 150) << file;
    EXPECT_EQ(number_in(frames, 1), 199) << file;
  }
}

// Reading is a pure function of the index, whatever was read before.
TEST_F(VideoTest, ReadsTheSameBytesInAnyOrder) {
  ASSERT_TRUE(
      ffmpeg("-f lavfi -i testsrc2=s=162x122:r=25 -frames:v 50 -c:v libx264 -g 12 -bf 2 "
             "-pix_fmt yuv420p a.mp4"));
  const VideoPtr video = open_video(path("a.mp4"));
  const auto bytes = [&](const TensorView& frames, std::int64_t t) {
    std::vector<int> values;
    for (std::int64_t y = 0; y < frames.dim(2); ++y) {
      for (std::int64_t x = 0; x < frames.dim(3); ++x) {
        for (std::int64_t c = 0; c < 3; ++c) values.push_back(value_at(frames, t, c, y, x));
      }
    }
    return values;
  };
  const TensorView shuffled = video->read(std::vector<std::int64_t>{49, 3, 17, 3, 30, 0});
  const TensorView ordered = video->read(std::vector<std::int64_t>{0, 3, 17, 30, 49});
  EXPECT_EQ(bytes(shuffled, 0), bytes(ordered, 4));
  EXPECT_EQ(bytes(shuffled, 1), bytes(ordered, 1));
  EXPECT_EQ(bytes(shuffled, 2), bytes(ordered, 2));
  EXPECT_EQ(bytes(shuffled, 3), bytes(ordered, 1));
  EXPECT_EQ(bytes(shuffled, 4), bytes(ordered, 3));
  EXPECT_EQ(bytes(shuffled, 5), bytes(ordered, 0));
}

// No indices give no frames, with the shape that any other read has.
TEST_F(VideoTest, ReadsNothingWhenNothingIsAsked) {
  ASSERT_TRUE(ffmpeg(numbered_frames(3) + " -c:v libx264 a.mp4"));
  const TensorView frames = open_video(path("a.mp4"))->read({});
  EXPECT_EQ(frames.shape, (std::vector<std::int64_t>{0, 3, 48, 64}));
}

}  // namespace
}  // namespace bestreel::media_test
