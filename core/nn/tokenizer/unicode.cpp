#include "core/nn/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/nn/tokenizer/unicode_versions.h"

namespace bestreel {
namespace {

/// Length of the valid sequence at `position`, or 0; `broken` is then the length of the maximal
/// part (Unicode 3.9, table 3-7: the second byte's range depends on the first).
std::size_t sequence_length(std::string_view bytes, std::size_t position, std::size_t& broken) {
  const auto at = [&](std::size_t i) -> unsigned {
    return position + i < bytes.size() ? static_cast<unsigned char>(bytes[position + i]) : 0;
  };
  const unsigned first = at(0);
  broken = 1;
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (at(1) < low || at(1) > high) return 0;
  for (broken = 2; broken < length; ++broken) {
    if ((at(broken) & 0xC0) != 0x80) return 0;
  }
  return length;
}

using Points = std::vector<utf8proc_int32_t>;

Points decompose(std::string_view text) {
  Points points;
  points.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    const auto point = static_cast<utf8proc_int32_t>(next_code_point(text, position));
    std::array<utf8proc_int32_t, 32> parts{};  // the longest canonical decomposition has 4
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(point, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
    points.insert(points.end(), parts.begin(), parts.begin() + count);
  }
  return points;
}

/// The canonical order of marks. utf8proc_decompose would do it by exchanging neighbours, which
/// takes seconds on a hostile run of 100,000 marks.
void order_marks(Points& points) {
  const auto combining = [](utf8proc_int32_t point) {
    return utf8proc_get_property(point)->combining_class;
  };
  for (auto first = points.begin(); first != points.end();) {
    if (combining(*first) == 0) {
      ++first;
      continue;
    }
    const auto last = std::find_if(first, points.end(), [&](auto p) { return combining(p) == 0; });
    std::stable_sort(first, last, [&](auto a, auto b) { return combining(a) < combining(b); });
    first = last;
  }
}

/// No part of any composition, nor a mark that moves. U+11A7 is one too: it lies one below the
/// first trailing consonant of Hangul, and utf8proc (2.8) lets it vanish into a syllable.
bool stands_alone(char32_t point) { return point == 0x11A7 || is_after_unicode_9(point); }

void append_nfc(std::string_view text, std::string& normal) {
  Points points = decompose(text);
  order_marks(points);
  const auto count =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    append_utf8(normal, static_cast<char32_t>(points[static_cast<std::size_t>(i)]));
  }
}

}  // namespace

std::string lossy_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t position = 0; position < bytes.size();) {
    std::size_t broken = 0;
    const std::size_t length = sequence_length(bytes, position, broken);
    text += length > 0 ? bytes.substr(position, length) : std::string_view("\xEF\xBF\xBD");
    position += length > 0 ? length : broken;
  }
  return text;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto byte = [&] { return static_cast<unsigned char>(text[position++]); };
  const unsigned first = byte();
  if (first < 0x80) return first;
  char32_t value = first < 0xE0 ? first & 0x1F : first < 0xF0 ? first & 0x0F : first & 0x07;
  for (int more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3; more > 0; --more) {
    value = value << 6 | (byte() & 0x3F);
  }
  return value;
}

void append_utf8(std::string& text, char32_t code_point) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(length));
}

std::string nfc(std::string_view text) {
  // Below U+0300 every text is in NFC already: the common case costs one pass over the bytes.
  if (std::all_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0xCC; })) {
    return std::string(text);
  }
  std::string normal;
  normal.reserve(text.size());
  std::size_t done = 0;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    if (!stands_alone(next_code_point(text, position))) continue;
    append_nfc(text.substr(done, begin - done), normal);
    normal += text.substr(begin, position - begin);
    done = position;
  }
  append_nfc(text.substr(done), normal);
  return normal;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace bestreel
