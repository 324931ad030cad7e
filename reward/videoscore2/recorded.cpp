#include "reward/videoscore2/recorded.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/fail.h"

namespace bestreel::videoscore2 {
namespace {

using nlohmann::json;

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::size_t kNowhere = std::string_view::npos;

std::size_t line_of(std::string_view text, std::size_t byte) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
  return 1 + static_cast<std::size_t>(std::count(text.begin(), end, '\n'));
}

void append_utf8(std::string& text, std::uint32_t point) {
  if (point < 0x80) {
    text += static_cast<char>(point);
    return;
  }
  const int tails = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  constexpr unsigned kLeads[] = {0, 0xC0, 0xE0, 0xF0};
  text += static_cast<char>(kLeads[tails] | point >> (6 * tails));
  for (int i = tails - 1; i >= 0; --i)
    text += static_cast<char>(0x80 | ((point >> (6 * i)) & 0x3F));
}

/// UTF-16 as UTF-8, by its mark or by the zero in its first character; nullopt: it is none.
std::optional<std::string> from_utf16(std::string_view bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const bool little = bytes.starts_with("\xFF\xFE") || (byte(0) != 0 && byte(1) == 0);
  const bool big = bytes.starts_with("\xFE\xFF") || (byte(0) == 0 && byte(1) != 0);
  if (!little && !big) return std::nullopt;
  std::string text;
  const auto unit = [&](std::size_t i) -> std::uint32_t {
    return little ? byte(i) | byte(i + 1) << 8 : byte(i) << 8 | byte(i + 1);
  };
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    std::uint32_t point = unit(i);
    if (point == 0xFEFF && i == 0) continue;
    if (point >= 0xD800 && point < 0xE000) {
      const std::uint32_t low = i + 3 < bytes.size() ? unit(i + 2) : 0;
      if (point < 0xDC00 && low >= 0xDC00 && low < 0xE000) {
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        i += 2;
      } else {
        point = 0xFFFD;
      }
    }
    append_utf8(text, point);
  }
  return text;
}

/// Behind the value that begins at `at`: a text, or what its brackets hold, or up to a comma or a
/// closing bracket. nullopt: it does not end.
std::optional<std::size_t> value_end(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i)
        if (text[i] == '\\') ++i;
      if (i >= text.size()) return std::nullopt;
      if (depth == 0) return i + 1;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return i;
      if (--depth == 0) return i + 1;
    } else if (c == ',' && depth == 0) {
      return i;
    }
  }
  return depth == 0 ? std::optional(text.size()) : std::nullopt;
}

/// What Python's json writes for numbers that JSON does not have becomes null.
std::string without_nan(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '"') {
      const std::size_t end = value_end(text, i).value_or(text.size());
      out += text.substr(i, end - i);
      i = end;
      continue;
    }
    bool replaced = false;
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (!text.substr(i).starts_with(word)) continue;
      out += "null";
      i += word.size();
      replaced = true;
      break;
    }
    if (!replaced) out += text[i++];
  }
  return out;
}

RecordedAnswer record_of(std::string_view text, const std::string& where) {
  json value;
  try {
    const std::string plain = without_nan(text);
    value = json::parse(plain.begin(), plain.end());
  } catch (const json::out_of_range&) {
    return {"", fmt::format("{} holds a number that is out of range", where)};
  } catch (const json::exception&) {
    return {"", fmt::format("{} is no JSON", where)};
  }
  if (value.is_string()) return {value.get<std::string>(), ""};
  const auto at = value.is_object() ? value.find("output") : value.end();
  if (!value.is_object() || at == value.end() || !at->is_string())
    return {"", fmt::format("{} must be a text or an object whose \"output\" is a text", where)};
  return {at->get<std::string>(), ""};
}

/// Does it look like JSON that was meant? A scene description may begin with a bracket, too.
bool looks_like_json(std::string_view text) {
  const auto next = [&](std::size_t from) {
    const std::size_t at = text.find_first_not_of(kBlanks, from);
    return at == kNowhere ? '\0' : text[at];
  };
  const auto null = [&](std::size_t from) {
    const std::size_t at = std::min(text.find_first_not_of(kBlanks, from), text.size());
    return text.substr(at).starts_with("null");
  };
  const char first = text.empty() ? '\0' : text.front();
  if (first == '[')
    return next(1) == '"' || next(1) == '{' || next(1) == ']' || next(1) == '\0' || null(1);
  if (first == '{') return next(1) == '"' || next(1) == '}';
  const std::string_view line = text.substr(0, text.find('\n'));
  // A quoted text or a null: JSON only if the line is nothing else.
  return (first == '"' || null(0)) && json::accept(line);
}

/// `begin` is the list's bracket.
std::vector<RecordedAnswer> read_list(std::string_view text, std::size_t begin) {
  std::vector<RecordedAnswer> records;
  for (std::size_t at = begin + 1;;) {
    at = text.find_first_not_of(" \t\r\n,", at);
    if (at == kNowhere) {
      records.push_back({"", "the list does not end: the file was cut"});
      return records;
    }
    const std::string where = fmt::format("item {} of the list", records.size() + 1);
    if (text[at] == ']') {
      const std::size_t more = text.find_first_not_of(kBlanks, at + 1);
      if (more != kNowhere)
        records.push_back(
            {"", fmt::format("line {} goes on behind the list", line_of(text, more))});
      return records;
    }
    const auto end = value_end(text, at);
    if (!end) {
      records.push_back({"", fmt::format("line {}, {}, does not end: the file was cut",
                                         line_of(text, at), where)});
      return records;
    }
    records.push_back(record_of(text.substr(at, *end - at), where));
    at = std::max(*end, at + 1);
  }
}

std::vector<RecordedAnswer> read_lines(std::string_view text) {
  std::vector<RecordedAnswer> records;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(kBlanks) == kNowhere) continue;
    records.push_back(record_of(line, fmt::format("line {}", number)));
  }
  return records;
}

std::vector<RecordedAnswer> read_text(std::string_view bytes, const std::string& name) {
  const std::size_t begin = bytes.find_first_not_of(kBlanks);
  if (begin == kNowhere) {
    fail("recorded_malformed", "parse",
         "{} must hold a JSON list of texts or of objects with an \"output\", JSON lines of the "
         "same, or plain text, but holds nothing: write it again",
         name);
  }
  const std::string_view text = bytes.substr(begin);
  if (!looks_like_json(text)) return {{std::string(bytes), ""}};
  if (text.front() == '[') return read_list(bytes, begin);
  if (text.front() == '{') {
    // One object, perhaps over many lines.
    const auto end = value_end(text, 0);
    if (end && text.find_first_not_of(kBlanks, *end) == kNowhere)
      return {record_of(text.substr(0, *end), "the object")};
  }
  return read_lines(bytes);
}

}  // namespace

std::vector<RecordedAnswer> read_recorded(std::string_view bytes, const std::string& name) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  if (const auto converted = from_utf16(bytes)) return read_text(*converted, name);
  return read_text(bytes, name);
}

}  // namespace bestreel::videoscore2
