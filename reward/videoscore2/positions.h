// Where tokens are: 3-D rotary positions of the decoder, windows and 2-D positions of the tower.
// Pure functions on the host.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "reward/videoscore2/config.h"

namespace bestreel::videoscore2 {

using Grid = std::array<std::int64_t, 3>;  ///< patches in time, height, width

/// Positions of every prompt token: [0] time, [1] height, [2] width. Text counts up in all three;
/// the video's tokens spread over the grid; text after it goes on from the largest of the three.
///
/// The time of temporal patch t is floor(t x seconds_per_grid x tokens_per_second).
///
/// Note [Seconds per grid]: transformers 4.53 casts seconds_per_grid to an integer before it
/// multiplies, so that above 2 frames a second every frame is at time 0. Here the product is cast.
/// At 2 frames a second, VideoScore2's rate, the two are equal.
struct RopePositions {
  std::array<std::vector<std::int64_t>, 3> axes;
  std::int64_t next = 0;  ///< position of the first generated token, in all three axes
};

/// `video_begin`: index of the first video token; there are t*h*w/merge^2 of them.
RopePositions rope_positions(std::int64_t tokens, std::int64_t video_begin, const Grid& grid,
                             const VisionConfig& vision, double seconds_per_grid);

/// Merged patches in the order of the tower's windows: frame by frame, window by window, as
/// transformers orders them (its get_window_index), and the number of patches of each window.
struct WindowOrder {
  std::vector<std::int64_t> index;    ///< (t*h*w/merge^2): position in window order -> merged patch
  std::vector<std::int64_t> lengths;  ///< patches of each window, empty ones left out
};
WindowOrder window_order(const Grid& grid, const VisionConfig& vision);

/// How the tower lays its rows out: as window_order, but inside each frame windows of one size
/// stand together, so that each size is one batched attention call. Attention never crosses a
/// window, so the order changes no result.
struct WindowLayout {
  std::vector<std::int64_t> index;  ///< one frame: row in layout -> merged patch of the frame
  struct Group {
    std::int64_t windows;  ///< of this size in one frame
    std::int64_t patches;  ///< in one window
  };
  std::vector<Group> groups;  ///< in layout order
};
WindowLayout window_layout(std::int64_t grid_h, std::int64_t grid_w, const VisionConfig& vision);

/// Row and column of every patch of one frame, in the processor's order (merged block by block).
struct PatchCoordinates {
  std::vector<std::int64_t> rows, columns;
};
PatchCoordinates patch_coordinates(std::int64_t grid_h, std::int64_t grid_w, std::int64_t merge);

}  // namespace bestreel::videoscore2
