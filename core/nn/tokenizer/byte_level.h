// The alphabet of byte-level BPE: every byte has a printable character. Private to `formats`.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace bestreel {

/// The character (UTF-8) of each byte. Source: bytes_to_unicode of GPT-2, which every byte-level
/// tokenizer.json uses: printable Latin-1 stands for itself, the rest from U+0100 on.
const std::array<std::string, 256>& byte_characters();

/// The bytes that a token's text stands for; nullopt if it holds a character of no byte.
std::optional<std::string> bytes_of_token(std::string_view token);

}  // namespace bestreel
