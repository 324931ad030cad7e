#include "core/nn/tokenizer/byte_level.h"

#include <cstddef>
#include <vector>

#include "core/nn/tokenizer/unicode.h"

namespace bestreel {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr std::array<char32_t, 256> code_points() {
  std::array<char32_t, 256> points{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    points[byte] = stands_for_itself(byte) ? byte : next++;
  }
  return points;
}

constexpr std::array<char32_t, 256> kPoints = code_points();

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  static const auto characters = [] {
    std::array<std::string, 256> all;
    for (std::size_t byte = 0; byte < 256; ++byte) append_utf8(all[byte], kPoints[byte]);
    return all;
  }();
  return characters;
}

std::optional<std::string> bytes_of_token(std::string_view token) {
  static const auto bytes = [] {
    std::array<int, 0x200> all{};
    all.fill(-1);
    for (std::size_t byte = 0; byte < 256; ++byte) all[kPoints[byte]] = static_cast<int>(byte);
    return all;
  }();
  std::string result;
  for (std::size_t position = 0; position < token.size();) {
    const char32_t point = next_code_point(token, position);
    if (point >= bytes.size() || bytes[point] < 0) return std::nullopt;
    result += static_cast<char>(bytes[point]);
  }
  return result;
}

}  // namespace bestreel
