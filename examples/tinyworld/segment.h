// From pixels to objects in each frame: background, brightness, noise, and what stands out.
#pragma once

#include <array>
#include <vector>

#include "examples/tinyworld/render.h"

namespace bestreel::tinyworld {

/// What the background says of the picture, before any object is looked for.
struct Ground {
  Background name = Background::kBlack;
  std::vector<Rgb> colour;  ///< of each frame: the median of its pixels
  std::vector<float> gain;  ///< brightness of each frame relative to the clip's median
  double flicker = 0;       ///< mean |gain - 1|
  double noise = 0;         ///< standard deviation of a channel, clipping at black undone
  double block_step = 0;    ///< mean step at the borders of 8 x 8 blocks, beyond the usual step
};

/// One thing that stands out in one frame.
struct Spot {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;  ///< box, x1 and y1 excluded
  double x = 0, y = 0;                 ///< centre, pixels
  double area = 0;                     ///< pixels
  Colour colour = Colour::kRed;
  std::array<double, 6> votes{};  ///< how many of its pixels point to each colour
  std::vector<std::pair<int, int>> pixels;
};

/// Frames as float RGB, brightness evened out by `gain`.
struct Even {
  int height = 0, width = 0;
  std::vector<std::vector<Rgb>> frames;
  const Rgb& at(int t, int y, int x) const {
    return frames[std::size_t(t)][std::size_t(y) * width + x];
  }
};

Ground look_at_ground(const Clip& clip);
Even even_out(const Clip& clip, const Ground& ground);

/// Spots of every frame, largest first. Two objects that touch are parted by their colours.
std::vector<std::vector<Spot>> find_spots(const Even& even, const Ground& ground);

}  // namespace bestreel::tinyworld
