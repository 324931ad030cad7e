#include "reward/videoscore2/plain_text.h"

#include <algorithm>
#include <cctype>

namespace bestreel::videoscore2 {
namespace {

constexpr char kDrop = '\0';

/// Characters of three bytes that stand for a plain one; full-width ones are computed instead.
constexpr struct {
  std::string_view utf8;
  char plain;
} kSigns[] = {
    {"\xE2\x80\x90", '-'},
    {"\xE2\x80\x91", '-'},
    {"\xE2\x80\x92", '-'},
    {"\xE2\x80\x93", '-'},
    {"\xE2\x80\x94", '-'},
    {"\xE2\x80\x95", '-'},
    {"\xE2\x88\x92", '-'},
    {"\xE2\x80\x98", kDrop},
    {"\xE2\x80\x99", kDrop},
    {"\xE2\x80\x9C", kDrop},
    {"\xE2\x80\x9D", kDrop},
    {"\xE2\x80\x9E", kDrop},
    {"\xE2\x80\x8B", kDrop},
    {"\xE2\x80\x8C", kDrop},
    {"\xE2\x80\x8D", kDrop},
    {"\xE2\x80\x8E", kDrop},
    {"\xE2\x80\x8F", kDrop},
    {"\xE2\x81\xA0", kDrop},
    {"\xEF\xBB\xBF", kDrop},
    {"\xE2\x80\xAF", ' '},
    {"\xE3\x80\x80", ' '},
    {"\xE2\x80\xA8", '\n'},
    {"\xE2\x80\xA9", '\n'},
    {"\xE2\x80\xA2", ' '},
    {"\xE2\x97\x8F", ' '},
    {"\xE2\x88\x95", '/'},
    {"\xE2\x81\x84", '/'},
    {"\xE3\x80\x90", '['},
    {"\xE3\x80\x91", ']'},
    {"\xE3\x80\x81", ','},
    {"\xE3\x80\x82", '.'},
    {"\xEF\xBD\xA1", '.'},
    {"\xE3\x80\x8A", '<'},
    {"\xE3\x80\x8B", '>'},
    {"\xE3\x80\x8C", kDrop},
    {"\xE3\x80\x8D", kDrop},
    {"\xE3\x80\x8E", kDrop},
    {"\xE3\x80\x8F", kDrop},
    {"\xEF\xB8\x8F", kDrop},
    {"\xE2\x83\xA3", kDrop},
    {"\xE5\x88\x86", PlainText::kCounter},
    {"\xE7\x82\xB9", PlainText::kCounter},
    {"\xE9\xBB\x9E", PlainText::kCounter},
    {"\xEC\xA0\x90", PlainText::kCounter},
    {"\xE6\x98\x9F", PlainText::kCounter},
    {"\xE2\x98\x85", PlainText::kCounter},
    {"\xE2\xAD\x90", PlainText::kCounter},
};

/// Where runs of numbers with something around them begin: as many as there are from 1 on.
constexpr struct {
  unsigned first;
  unsigned count;
} kCircled[] = {{0x2460, 9}, {0x2474, 9}, {0x2488, 9}, {0x24F5, 9},
                {0x2776, 9}, {0x2780, 9}, {0x278A, 9}};

/// The number in a circle, in brackets or before a full stop at the start of `rest`; 0: none.
unsigned circled(std::string_view rest) {
  if (rest.size() < 3 || static_cast<unsigned char>(rest[0]) != 0xE2) return 0;
  const unsigned point = 0x2000u | (static_cast<unsigned char>(rest[1]) & 0x3Fu) << 6 |
                         (static_cast<unsigned char>(rest[2]) & 0x3Fu);
  for (const auto& [first, count] : kCircled)
    if (point >= first && point < first + count) return point - first + 1;
  return 0;
}

/// Bytes of a LaTeX command or sign at the start of `rest` that stand for nothing; 0: none.
std::size_t latex(std::string_view rest) {
  if (rest[0] == '$') return 1;
  if (rest[0] != '\\') return 0;
  std::size_t end = 1;
  while (end < rest.size() && std::isalpha(static_cast<unsigned char>(rest[end])) != 0) ++end;
  if (end == 1)
    return end < rest.size() &&
                   std::string_view("()[]{}$%_\\").find(rest[end]) != std::string_view::npos
               ? 1
               : 0;
  if (end < rest.size() && rest[end] == '{') return end;  // \boxed{3}
  const std::string_view word = rest.substr(1, end - 1);
  return word == "quad" || word == "qquad" || word == "displaystyle" ? end : 0;
}

bool begins_fraction(std::string_view command) {
  return command == "\\frac" || command == "\\dfrac" || command == "\\tfrac";
}

char plain_ascii(char c) {
  switch (c) {
    case '*':
    case '_':
    case '`':
    case '"':
    case '\'':
      return kDrop;
    case '\t':
    case '\v':
    case '\f':
      return ' ';
    case '\r':
      return '\n';
    default:
      return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
}

/// The character at the start of `rest` and how many bytes it takes.
char plain_character(std::string_view rest, std::size_t& length) {
  length = 1;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
  if (byte(0) < 0x80) return plain_ascii(rest[0]);
  if (rest.starts_with("\xC2\xA0")) return length = 2, ' ';
  if (rest.size() >= 3 && byte(0) == 0xEF && (byte(1) == 0xBC || byte(1) == 0xBD)) {
    // U+FF01 to U+FF5E are the ASCII signs from 0x21 on, in full width.
    const unsigned point = 0xFF00u | (byte(1) == 0xBD ? 0x40u : 0u) | (byte(2) & 0x3Fu);
    if (point >= 0xFF01 && point <= 0xFF5E) {
      return length = 3, plain_ascii(static_cast<char>(point - 0xFF00 + 0x20));
    }
  }
  for (const auto& [utf8, plain] : kSigns) {
    if (rest.starts_with(utf8)) return length = utf8.size(), plain;
  }
  return PlainText::kOther;
}

}  // namespace

PlainText plain_text(std::string_view original) {
  PlainText result;
  result.text.reserve(original.size());
  result.offset.reserve(original.size() + 1);
  const auto add = [&](char c, std::size_t from) {
    result.text += c;
    result.offset.push_back(from);
  };
  bool fraction = false;  // "}{" is the next fraction stroke
  for (std::size_t position = 0; position < original.size();) {
    const std::string_view rest = original.substr(position);
    if (const std::size_t command = latex(rest); command > 0) {
      fraction = fraction || begins_fraction(rest.substr(0, command));
      position += command;
      continue;
    }
    if (fraction && rest.starts_with("}{")) {
      add('/', position);
      fraction = false;
      position += 2;
      continue;
    }
    if (const unsigned number = circled(rest); number > 0) {
      add('(', position);
      add(static_cast<char>('0' + number), position);
      add(')', position);
      position += 3;
      continue;
    }
    std::size_t length = 0;
    const char c = plain_character(rest, length);
    if (c != kDrop) add(c, position);
    position += length;
  }
  result.offset.push_back(original.size());
  return result;
}

}  // namespace bestreel::videoscore2
