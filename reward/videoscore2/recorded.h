// Files of recorded answers, for `bestreel parse`. Torch-free.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace bestreel::videoscore2 {

/// The answers in a file: a JSON list of texts or of objects with an `output` text, one such
/// object, the same as JSON lines, or else plain text (one answer). `name` is the file in errors.
/// Errors: "recorded_malformed", naming the line or the item.
BESTREEL_API std::vector<std::string> read_recorded(std::string_view bytes,
                                                    const std::string& name = "the input");

}  // namespace bestreel::videoscore2
