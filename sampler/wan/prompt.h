// Wan's cleaning of a prompt before it is tokenized. Torch-free.
#pragma once

#include <string>
#include <string_view>

#include "core/base/export.h"

namespace bestreel::wan {

struct CleanPrompt {
  std::string text;
  /// Not empty where the prompt looks like UTF-8 that was read as Windows-1252 ("Ã©" for "é"): the
  /// reference would repair it, this program leaves it.
  std::string warning;
};

/// What diffusers' prompt_clean does: ftfy.fix_text (HTML entities, ligatures, full and half width,
/// curled quotes, line breaks, control characters, NFC; not its repair of wrong encodings), HTML
/// entities twice more, and white space to single spaces. Bytes that are no UTF-8 become U+FFFD.
BESTREEL_API CleanPrompt clean_prompt(std::string_view prompt);

}  // namespace bestreel::wan
