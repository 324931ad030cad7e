// UTF-8 and Unicode normalisation, as the tokenizer's reference does them. Private to `formats`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bestreel {

/// Each maximal part that is no UTF-8 becomes one U+FFFD (what Python's errors="replace" and
/// Rust's from_utf8_lossy do).
std::string lossy_utf8(std::string_view bytes);

/// The code point that starts at `position` of valid UTF-8; `position` moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& position);

void append_utf8(std::string& text, char32_t code_point);

/// Normalization Form C of valid UTF-8.
std::string nfc(std::string_view text);

/// Unicode's White_Space.
bool is_space(char32_t code_point);

}  // namespace bestreel
