// Files of recorded answers, for `bestreel parse`. Torch-free.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace bestreel::videoscore2 {

/// One record of a file.
struct RecordedAnswer {
  std::string text;
  std::string problem;  ///< why there is no text ("line 3 is no JSON"); empty: there is
};

/// The answers in a file: a JSON list of texts or of objects with an `output` text, one such
/// object, the same as JSON lines, or else plain text (one answer); UTF-8 or UTF-16, with NaN and
/// Infinity as Python writes them. A record that cannot be read has a problem and leaves the others
/// as they are; so does the end of a file that was cut. `name` is the file in errors.
/// Errors: "recorded_malformed" where there is not one record.
BESTREEL_API std::vector<RecordedAnswer> read_recorded(std::string_view bytes,
                                                       const std::string& name = "the input");

}  // namespace bestreel::videoscore2
