// Contact sheets: a few frames of each clip, with what is said of it under them.
#pragma once

#include <string>
#include <vector>

#include "examples/tinyworld/render.h"

namespace bestreel::tinyworld {

struct SheetEntry {
  Clip clip;
  std::vector<std::string> lines;  ///< ASCII, under the frames
  bool framed = false;             ///< the choice
};

/// One entry a cell, `columns` cells a row, `frames` evenly spaced frames a cell, each `scale`
/// times as large. Writes PNG. Errors: "usage" (no entries), "disk_full", "write_failed".
void write_sheet(const std::string& path, const std::string& title,
                 const std::vector<SheetEntry>& entries, int columns, int frames, int scale);

}  // namespace bestreel::tinyworld
