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
    {"\xE2\x80\x90", '-'},   {"\xE2\x80\x91", '-'},   {"\xE2\x80\x92", '-'},
    {"\xE2\x80\x93", '-'},   {"\xE2\x80\x94", '-'},   {"\xE2\x80\x95", '-'},
    {"\xE2\x88\x92", '-'},   {"\xE2\x80\x98", kDrop}, {"\xE2\x80\x99", kDrop},
    {"\xE2\x80\x9C", kDrop}, {"\xE2\x80\x9D", kDrop}, {"\xE2\x80\x9E", kDrop},
    {"\xE2\x80\x8B", kDrop}, {"\xE2\x80\x8C", kDrop}, {"\xE2\x80\x8D", kDrop},
    {"\xE2\x80\x8E", kDrop}, {"\xE2\x80\x8F", kDrop}, {"\xE2\x81\xA0", kDrop},
    {"\xEF\xBB\xBF", kDrop}, {"\xE2\x80\xAF", ' '},   {"\xE3\x80\x80", ' '},
    {"\xE2\x80\xA8", '\n'},  {"\xE2\x80\xA9", '\n'},  {"\xE2\x80\xA2", ' '},
    {"\xE2\x97\x8F", ' '},   {"\xE2\x88\x95", '/'},   {"\xE2\x81\x84", '/'},
    {"\xE3\x80\x90", '['},   {"\xE3\x80\x91", ']'},
};

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
  for (std::size_t position = 0; position < original.size();) {
    std::size_t length = 0;
    const char c = plain_character(original.substr(position), length);
    if (c != kDrop) {
      result.text += c;
      result.offset.push_back(position);
    }
    position += length;
  }
  result.offset.push_back(original.size());
  return result;
}

}  // namespace bestreel::videoscore2
