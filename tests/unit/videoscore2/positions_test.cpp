#include "reward/videoscore2/positions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace bestreel::videoscore2 {
namespace {

using Axis = std::vector<std::int64_t>;

VisionConfig seven_b() {
  VisionConfig c;
  c.tokens_per_second = 2;
  return c;
}

// Verifies text before, video over its grid, text from the largest position on.
TEST(Positions, TextVideoText) {
  const RopePositions p = rope_positions(2 + 8 + 3, 2, {2, 4, 4}, seven_b(), 1.0);
  EXPECT_EQ(p.axes[0], (Axis{0, 1, 2, 2, 2, 2, 4, 4, 4, 4, 5, 6, 7}));
  EXPECT_EQ(p.axes[1], (Axis{0, 1, 2, 2, 3, 3, 2, 2, 3, 3, 5, 6, 7}));
  EXPECT_EQ(p.axes[2], (Axis{0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 5, 6, 7}));
  EXPECT_EQ(p.next, 8);
}

// Verifies that time is not cut to whole seconds before it is multiplied: at 4 and 16 frames a
// second frames still have times of their own.
TEST(Positions, SecondsPerGridKeepTheirFraction) {
  EXPECT_EQ(rope_positions(4, 0, {4, 2, 2}, seven_b(), 0.5).axes[0], (Axis{0, 1, 2, 3}));
  EXPECT_EQ(rope_positions(4, 0, {4, 2, 2}, seven_b(), 0.25).axes[0], (Axis{0, 0, 1, 1}));
  EXPECT_EQ(rope_positions(4, 0, {4, 2, 2}, seven_b(), 1.5).axes[0], (Axis{0, 3, 6, 9}));
}

// Verifies that windows cover every merged patch once, short ones at the edges.
TEST(Positions, WindowsCoverTheGrid) {
  const Grid grid{2, 34, 18};  // 17 x 9 merged: neither is a multiple of 4
  const WindowOrder order = window_order(grid, seven_b());
  Axis sorted = order.index;
  std::sort(sorted.begin(), sorted.end());
  Axis all(sorted.size());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_EQ(order.lengths.size(), 2u * 5 * 3);
  EXPECT_EQ(order.lengths[0], 64);
  EXPECT_EQ(order.lengths[2], 16);  // right edge
  EXPECT_EQ(order.lengths[14], 4);  // corner
  EXPECT_EQ(std::accumulate(order.lengths.begin(), order.lengths.end(), 0LL), 2 * 34 * 18);
}

// Verifies that the layout holds the same windows as the order, grouped by size.
TEST(Positions, LayoutGroupsEqualWindows) {
  const WindowLayout layout = window_layout(34, 18, seven_b());
  Axis sizes;
  std::int64_t patches = 0;
  for (const auto& group : layout.groups) {
    sizes.push_back(group.patches);
    patches += group.windows * group.patches;
  }
  EXPECT_EQ(sizes, (Axis{64, 16, 4}));
  EXPECT_EQ(patches, 34 * 18);
  EXPECT_EQ(Axis(layout.index.begin(), layout.index.begin() + 5), (Axis{0, 1, 2, 3, 9}));
}

// Verifies that patches are listed merged block by merged block.
TEST(Positions, PatchCoordinates) {
  const PatchCoordinates at = patch_coordinates(2, 4, 2);
  EXPECT_EQ(at.rows, (Axis{0, 0, 1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(at.columns, (Axis{0, 1, 0, 1, 2, 3, 2, 3}));
}

}  // namespace
}  // namespace bestreel::videoscore2
