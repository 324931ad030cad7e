#include "reward/videoscore2/recorded.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/fail.h"

namespace bestreel::videoscore2 {
namespace {

using nlohmann::json;

constexpr std::string_view kBlanks = " \t\r\n";

template <typename... Args>
[[noreturn]] void malformed(const std::string& name, fmt::format_string<Args...> what,
                            Args&&... args) {
  fail("recorded_malformed", "parse",
       "{}, {}: write a JSON list of texts or of objects with an "
       "\"output\", JSON lines of the same, or plain text",
       name, fmt::format(what, std::forward<Args>(args)...));
}

std::size_t line_of(std::string_view text, std::size_t byte) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
  return 1 + static_cast<std::size_t>(std::count(text.begin(), end, '\n'));
}

std::string output_of(const json& value, const std::string& name, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  const auto at = value.is_object() ? value.find("output") : value.end();
  if (!value.is_object() || at == value.end() || !at->is_string()) {
    malformed(name, "{} must be a text or an object whose \"output\" is a text", where);
  }
  return at->get<std::string>();
}

/// Does it look like JSON that was meant? A scene description may begin with a bracket, too.
bool looks_like_json(std::string_view text) {
  const auto next = [&](std::size_t from) {
    const std::size_t at = text.find_first_not_of(kBlanks, from);
    return at == std::string_view::npos ? '\0' : text[at];
  };
  const char first = text.empty() ? '\0' : text.front();
  if (first == '[') return next(1) == '"' || next(1) == '{' || next(1) == ']' || next(1) == '\0';
  if (first == '{') return next(1) == '"' || next(1) == '}';
  // A quoted text: JSON only if the line is nothing else.
  return first == '"' && json::accept(text.substr(0, text.find('\n')));
}

std::vector<std::string> read_list(std::string_view text, std::size_t offset,
                                   const std::string& name) {
  json list;
  try {
    list = json::parse(text.begin() + static_cast<std::ptrdiff_t>(offset), text.end());
  } catch (const json::parse_error& error) {
    malformed(name, "line {}, is no whole JSON list", line_of(text, offset + error.byte));
  } catch (const json::exception&) {
    malformed(name, "a number in the list is out of range");
  }
  std::vector<std::string> outputs;
  for (std::size_t i = 0; i < list.size(); ++i) {
    outputs.push_back(output_of(list[i], name, fmt::format("item {} of the list", i + 1)));
  }
  return outputs;
}

std::vector<std::string> read_lines(std::string_view text, const std::string& name) {
  std::vector<std::string> outputs;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(kBlanks) == std::string_view::npos) continue;
    json value;
    try {
      value = json::parse(line.begin(), line.end());
    } catch (const json::exception&) {
      malformed(name, "line {}, is no JSON", number);
    }
    outputs.push_back(output_of(value, name, fmt::format("line {}", number)));
  }
  return outputs;
}

}  // namespace

std::vector<std::string> read_recorded(std::string_view bytes, const std::string& name) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  const std::size_t begin = bytes.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) malformed(name, "it holds nothing");
  const std::string_view text = bytes.substr(begin);
  if (!looks_like_json(text)) return {std::string(bytes)};
  if (text.front() == '[') return read_list(bytes, begin, name);
  if (const json whole = json::parse(text.begin(), text.end(), nullptr, false);
      text.front() == '{' && !whole.is_discarded()) {
    return {output_of(whole, name, "the object")};  // one object, perhaps over many lines
  }
  return read_lines(bytes, name);
}

}  // namespace bestreel::videoscore2
