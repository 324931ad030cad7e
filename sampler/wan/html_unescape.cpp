#include "sampler/wan/html_unescape.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>

namespace bestreel::embedded {
extern const std::string_view html5_entities;
}

namespace bestreel::wan {
namespace {

constexpr std::size_t kLongestName = 32;

std::unordered_map<std::string_view, std::string> read_entities() {
  std::unordered_map<std::string_view, std::string> entities;
  std::string_view rest = embedded::html5_entities;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::string characters;
    std::size_t at = line.find(' ');
    const std::string_view name = line.substr(0, at);
    while (at != std::string_view::npos) {
      const std::size_t end = line.find(' ', at + 1);
      append_utf8(characters, static_cast<char32_t>(std::stoul(
                                  std::string(line.substr(at + 1, end - at)), nullptr, 16)));
      at = end;
    }
    entities.emplace(name, characters);
  }
  return entities;
}

const std::string* find_entity(std::string_view name) {
  static const auto entities = read_entities();
  const auto at = entities.find(name);
  return at == entities.end() ? nullptr : &at->second;
}

// Numbers 0x80 to 0x9F mean Windows-1252, as browsers read them; 0 = the number itself.
constexpr std::array<std::uint16_t, 32> kWindows1252{
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

std::string numbered(std::uint64_t n) {
  std::string text;
  if (n >= 0x80 && n < 0xA0) {
    const std::uint16_t mapped = kWindows1252[n - 0x80];
    append_utf8(text, mapped != 0 ? mapped : static_cast<char32_t>(n));
  } else if (n == 0 || (n >= 0xD800 && n < 0xE000) || n > 0x10FFFF) {
    append_utf8(text, 0xFFFD);
  } else if (n < 9 || n == 0xB || (n >= 0xE && n < 0x20) || n == 0x7F ||
             (n >= 0xFDD0 && n < 0xFDF0) || (n & 0xFFFE) == 0xFFFE) {
    // no character
  } else {
    append_utf8(text, static_cast<char32_t>(n));
  }
  return text;
}

// Length of "&#123;", with the character's text; 0 = not a number.
std::size_t match_number(std::string_view s, bool strict, std::string& out) {
  const bool hex = s.size() > 2 && (s[2] == 'x' || s[2] == 'X');
  const std::size_t begin = hex ? 3 : 2;
  std::uint64_t value = 0;
  std::size_t at = begin;
  for (; at < s.size(); ++at) {
    const char c = s[at];
    int digit = -1;
    if (c >= '0' && c <= '9')
      digit = c - '0';
    else if (hex && ((c | 32) >= 'a' && (c | 32) <= 'f'))
      digit = (c | 32) - 'a' + 10;
    if (digit < 0) break;
    value = std::min<std::uint64_t>(value * (hex ? 16 : 10) + static_cast<std::uint64_t>(digit),
                                    0x110000);
  }
  if (at == begin) return 0;
  const bool closed = at < s.size() && s[at] == ';';
  if (strict && !closed) return 0;
  out = numbered(value);
  return at + (closed ? 1 : 0);
}

std::size_t match_name(std::string_view s, bool strict, std::string& out) {
  std::size_t end = 1;
  while (end < s.size() && end <= kLongestName &&
         std::string_view("\t\n\f <&#;").find(s[end]) == std::string_view::npos)
    ++end;
  const bool closed = end < s.size() && s[end] == ';' && end > 1;
  if (closed) ++end;
  const std::string_view name = s.substr(1, end - 1);
  if (strict && !closed) return 0;
  if (const std::string* found = find_entity(name)) {
    out = *found;
    return end;
  }
  if (strict) return 0;
  for (std::size_t size = name.size(); size-- > 2;)
    if (const std::string* found = find_entity(name.substr(0, size))) {
      out = *found;
      return 1 + size;
    }
  return 0;
}

}  // namespace

void append_utf8(std::string& text, char32_t c) {
  const auto byte = [&](char32_t b) { text += static_cast<char>(b); };
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xC0 | (c >> 6)), byte(0x80 | (c & 63));
  } else if (c < 0x10000) {
    byte(0xE0 | (c >> 12)), byte(0x80 | ((c >> 6) & 63)), byte(0x80 | (c & 63));
  } else {
    byte(0xF0 | (c >> 18)), byte(0x80 | ((c >> 12) & 63)), byte(0x80 | ((c >> 6) & 63)),
        byte(0x80 | (c & 63));
  }
}

std::string html_unescape(std::string_view text, bool strict) {
  std::string out;
  while (!text.empty()) {
    const std::size_t mark = text.find('&');
    out += text.substr(0, mark);
    if (mark == std::string_view::npos) break;
    text.remove_prefix(mark);
    std::string character;
    const std::size_t length = text.size() > 1 && text[1] == '#'
                                   ? match_number(text, strict, character)
                                   : match_name(text, strict, character);
    if (length == 0) {
      out += '&';
      text.remove_prefix(1);
    } else {
      out += character;
      text.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace bestreel::wan
