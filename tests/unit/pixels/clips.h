// Clips made in memory: a textured picture that moves, with a flaw of known strength.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "core/media/video.h"

namespace bestreel::testing {

struct Clip {
  std::int64_t frames = 24;
  int width = 96, height = 64;
  double speed = 1.5;   ///< pixels a frame
  double noise = 0;     ///< standard deviation, levels
  double softness = 1;  ///< scale of the texture's detail, larger = softer
  std::function<double(std::int64_t)> brightness = [](std::int64_t) { return 0.0; };
  std::function<std::int64_t(std::int64_t)> shown = [](std::int64_t i) { return i; };
};

inline VideoPtr make_clip(const Clip& clip) {
  auto pixels = std::make_shared<std::vector<std::uint8_t>>(
      static_cast<std::size_t>(clip.frames * clip.width * clip.height * 3));
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 1);
  std::size_t at = 0;
  for (std::int64_t i = 0; i < clip.frames; ++i) {
    const double offset = clip.speed * static_cast<double>(clip.shown(i));
    for (int y = 0; y < clip.height; ++y) {
      for (int x = 0; x < clip.width; ++x) {
        const double u = (x + offset) / clip.softness, v = (y + offset / 3) / clip.softness;
        const double value = 128 + 45 * std::sin(0.9 * u) * std::cos(1.1 * v) +
                             40 * std::sin(0.23 * u + 0.31 * v) + clip.brightness(i);
        for (int c = 0; c < 3; ++c) {
          const double noisy = value + (clip.noise > 0 ? clip.noise * noise(random) : 0);
          (*pixels)[at++] = static_cast<std::uint8_t>(std::clamp(noisy, 0.0, 255.0));
        }
      }
    }
  }
  TensorView view;
  view.data = pixels->data();
  view.shape = {clip.frames, 3, clip.height, clip.width};
  view.strides = {3LL * clip.width * clip.height, 1, 3LL * clip.width, 3};
  view.owner = pixels;
  return video_from_frames(view, {24, 1});
}

}  // namespace bestreel::testing
