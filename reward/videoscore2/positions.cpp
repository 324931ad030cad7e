#include "reward/videoscore2/positions.h"

#include <algorithm>
#include <cmath>

namespace bestreel::videoscore2 {
namespace {

struct Window {
  std::vector<std::int64_t> merged;  // row-major indices in one frame's merged grid
};

std::vector<Window> windows_of_frame(std::int64_t grid_h, std::int64_t grid_w,
                                     const VisionConfig& vision) {
  const std::int64_t h = grid_h / vision.spatial_merge_size;
  const std::int64_t w = grid_w / vision.spatial_merge_size;
  const std::int64_t side = vision.window_size / vision.spatial_merge_size / vision.patch_size;
  std::vector<Window> windows;
  for (std::int64_t top = 0; top < h; top += side)
    for (std::int64_t left = 0; left < w; left += side) {
      Window& window = windows.emplace_back();
      for (std::int64_t y = top; y < std::min(h, top + side); ++y)
        for (std::int64_t x = left; x < std::min(w, left + side); ++x)
          window.merged.push_back(y * w + x);
    }
  return windows;
}

}  // namespace

RopePositions rope_positions(std::int64_t tokens, std::int64_t video_begin, const Grid& grid,
                             const VisionConfig& vision, double seconds_per_grid) {
  RopePositions out;
  for (auto& axis : out.axes) axis.reserve(static_cast<std::size_t>(tokens));
  std::int64_t next = 0;
  const auto text = [&](std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i, ++next)
      for (auto& axis : out.axes) axis.push_back(next);
  };

  text(video_begin);
  const std::int64_t base = next;
  const std::int64_t h = grid[1] / vision.spatial_merge_size;
  const std::int64_t w = grid[2] / vision.spatial_merge_size;
  std::int64_t last = base - 1;
  for (std::int64_t t = 0; t < grid[0]; ++t) {
    const auto time = static_cast<std::int64_t>(
        std::floor(static_cast<double>(t) * seconds_per_grid * vision.tokens_per_second));
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x) {
        out.axes[0].push_back(base + time);
        out.axes[1].push_back(base + y);
        out.axes[2].push_back(base + x);
        last = std::max({last, base + time, base + y, base + x});
      }
  }
  next = last + 1;
  text(tokens - static_cast<std::int64_t>(out.axes[0].size()));
  out.next = next;
  return out;
}

WindowOrder window_order(const Grid& grid, const VisionConfig& vision) {
  WindowOrder out;
  const auto windows = windows_of_frame(grid[1], grid[2], vision);
  const std::int64_t unit = vision.spatial_merge_size * vision.spatial_merge_size;
  const std::int64_t frame = grid[1] * grid[2] / unit;
  for (std::int64_t t = 0; t < grid[0]; ++t)
    for (const Window& window : windows) {
      for (const std::int64_t i : window.merged) out.index.push_back(t * frame + i);
      out.lengths.push_back(static_cast<std::int64_t>(window.merged.size()) * unit);
    }
  return out;
}

WindowLayout window_layout(std::int64_t grid_h, std::int64_t grid_w, const VisionConfig& vision) {
  auto windows = windows_of_frame(grid_h, grid_w, vision);
  std::stable_sort(windows.begin(), windows.end(), [](const Window& a, const Window& b) {
    return a.merged.size() > b.merged.size();
  });
  const std::int64_t unit = vision.spatial_merge_size * vision.spatial_merge_size;
  WindowLayout out;
  for (const Window& window : windows) {
    const auto patches = static_cast<std::int64_t>(window.merged.size()) * unit;
    if (out.groups.empty() || out.groups.back().patches != patches)
      out.groups.push_back({0, patches});
    ++out.groups.back().windows;
    out.index.insert(out.index.end(), window.merged.begin(), window.merged.end());
  }
  return out;
}

PatchCoordinates patch_coordinates(std::int64_t grid_h, std::int64_t grid_w, std::int64_t merge) {
  PatchCoordinates out;
  for (std::int64_t top = 0; top < grid_h; top += merge)
    for (std::int64_t left = 0; left < grid_w; left += merge)
      for (std::int64_t y = top; y < top + merge; ++y)
        for (std::int64_t x = left; x < left + merge; ++x) {
          out.rows.push_back(y);
          out.columns.push_back(x);
        }
  return out;
}

}  // namespace bestreel::videoscore2
