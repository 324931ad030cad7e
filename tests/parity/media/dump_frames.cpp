// dump_frames FILE [INDEX ...]: a line of JSON about the file, then the frames named (all of them
// when none is) as raw RGB, for the comparison with other readers in tests/parity/media.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "core/media/video.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: dump_frames FILE [INDEX ...]\n");
    return 2;
  }
  try {
    const bestreel::VideoPtr video = bestreel::open_video(argv[1]);
    const bestreel::VideoInfo& info = video->info();
    const nlohmann::json about{{"frames", info.frame_count},
                               {"width", info.width},
                               {"height", info.height},
                               {"fps", {info.fps.num, info.fps.den}},
                               {"duration", info.duration},
                               {"times", info.times},
                               {"container", info.container},
                               {"codec", info.codec},
                               {"pixel_format", info.pixel_format},
                               {"rotation", info.rotation},
                               {"audio", info.has_audio},
                               {"alpha", info.has_alpha},
                               {"variable", info.variable_frame_rate}};
    std::printf("%s\n", about.dump().c_str());

    std::vector<std::int64_t> indices;
    for (int i = 2; i < argc; ++i) indices.push_back(std::strtoll(argv[i], nullptr, 10));
    if (indices.empty()) {
      indices.resize(static_cast<std::size_t>(info.frame_count));
      std::iota(indices.begin(), indices.end(), std::int64_t{0});
    }
    const bestreel::TensorView frames = video->read(indices);
    for (std::int64_t t = 0; t < frames.dim(0); ++t) {
      const auto* picture = static_cast<const std::uint8_t*>(frames.data) + t * frames.strides[0];
      for (std::int64_t y = 0; y < frames.dim(2); ++y) {
        std::fwrite(picture + y * frames.strides[2], 3, static_cast<std::size_t>(frames.dim(3)),
                    stdout);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
