// From spots in each frame to objects with a shape, a size, a motion, and what is odd about them.
#pragma once

#include <array>
#include <vector>

#include "examples/tinyworld/segment.h"

namespace bestreel::tinyworld {

/// An object followed through the clip.
struct Track {
  Object object;                ///< what it is, as it is seen
  std::vector<int> frames;      ///< in which it was found, ascending
  std::vector<double> x, y;     ///< its centre there, pixels
  std::vector<double> area;     ///< pixels, from the soft edge: not changed by blur
  std::vector<double> stretch;  ///< log of width over height
  double edge = 0;              ///< its blur: standard deviation in pixels
  std::array<double, 3>
      doubt{};        ///< by shape: how much worse it explains the pixels than the best; 0..1
  double fit = 0;     ///< 1 = its pixels are exactly the shape
  double jump = 0;    ///< pixels: the largest step that its motion does not explain
  double wobble = 0;  ///< pixels: root mean square distance from its motion
  double travel = 0;  ///< pixels: how far its motion takes it
};

/// Objects that are there in at least `kLeastPresence` of the frames; the others are told by
/// `brief`, the number of objects that came and went.
struct Tracks {
  std::vector<Track> objects;
  int brief = 0;
};
/// Rule that parts "vanished" from "not there": an object that is seen in less than this share of
/// the frames is missing (text); one that is seen in more is one that vanishes (physics).
inline constexpr double kLeastPresence = 0.4;

/// Below this fit a shape has no name.
inline constexpr double kLeastFit = 0.75;

Tracks follow(const Even& even, const Ground& ground, const std::vector<std::vector<Spot>>& spots);

}  // namespace bestreel::tinyworld
