// Private to the library: the winner's file under the name that everyone looks for.
#pragma once

#include <string>

#include "plugin/runs/run_view.h"

namespace bestreel {

/// Writes DIRECTORY/best.<ext>, the winner's file byte for byte (and, where it has one, its copy
/// without loss), and removes an older best of another kind; without a winner, any. Errors:
/// "video_changed" (the file is not as it was taken in), those of copy_file_atomically().
void write_best(const std::string& directory, const RunView& view);

}  // namespace bestreel
