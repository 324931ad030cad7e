// Test videos made by the `ffmpeg` program while the tests run, in which every frame tells its own
// number.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/media/video.h"

namespace bestreel::media_test {

/// A folder of this test's own, gone afterwards.
class MediaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "bestreel-media-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  /// Runs ffmpeg in the test's folder; false when it refuses.
  bool ffmpeg(const std::string& arguments) const {
    const std::string command = "cd '" + folder_.string() +
                                "' && ffmpeg -nostdin -hide_banner -loglevel error -y " +
                                arguments + " >log.txt 2>&1";
    return std::system(command.c_str()) == 0;
  }

  /// What ffmpeg said last.
  std::string ffmpeg_log() const { return contents(path("log.txt")); }

  static bool has_encoder(const std::string& name) {
    return std::system(("ffmpeg -hide_banner -encoders 2>/dev/null | grep -qw " + name).c_str()) ==
           0;
  }

  static std::string contents(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }

  static void write(const std::string& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  std::filesystem::path folder_;
};

/// Input for ffmpeg: 64x48 at 25 fps; eight bars of 8 pixels are the bits of the frame's number.
inline std::string numbered_frames(int count) {
  return "-f lavfi -i color=c=gray:s=64x48:r=25 -frames:v " + std::to_string(count);
}
inline const std::string kNumber =
    "format=yuv420p,geq=lum='235*mod(floor(N/pow(2,floor(X/8))),2)':cb=128:cr=128";

/// The number that frame `t` of a view shows, from `scale` pixels per pixel of the original.
inline int number_in(const TensorView& frames, std::int64_t t) {
  const auto* data = static_cast<const std::uint8_t*>(frames.data) + t * frames.strides[0];
  int number = 0;
  for (int bit = 0; bit < 8; ++bit) {
    const std::uint8_t* pixel = data + 24 * frames.strides[2] + (bit * 8 + 4) * frames.strides[3];
    number |= (*pixel > 128 ? 1 : 0) << bit;
  }
  return number;
}

inline int number_at(const Video& video, std::int64_t index) {
  const std::vector<std::int64_t> indices{index};
  return number_in(video.read(indices), 0);
}

/// One colour value of a view.
inline int value_at(const TensorView& frames, std::int64_t t, std::int64_t c, std::int64_t y,
                    std::int64_t x) {
  return static_cast<const std::uint8_t*>(
      frames.data)[t * frames.strides[0] + c * frames.strides[1] + y * frames.strides[2] +
                   x * frames.strides[3]];
}

/// The Error that `action` throws; its code is empty when it throws none.
template <typename Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error("", "", "no error");
}

}  // namespace bestreel::media_test
