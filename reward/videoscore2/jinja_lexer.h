// A Jinja template as tokens. Private to jinja*.cpp.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reward/videoscore2/jinja.h"

namespace bestreel::videoscore2::jinja {

template <typename... Args>
[[noreturn]] void refuse_at(int line, fmt::format_string<Args...> what, Args&&... args) {
  throw TemplateError(
      fmt::format("{} (line {})", fmt::format(what, std::forward<Args>(args)...), line));
}

struct Token {
  enum Type { kData, kOpenPrint, kOpenBlock, kClose, kName, kString, kInt, kFloat, kSign, kEnd };
  Type type;
  std::string text;
  int line;
};

/// The text between tags, trimmed as the tags ask for, and what stands in them; kEnd is last.
/// Throws TemplateError.
std::vector<Token> tokens_of(std::string_view source);

}  // namespace bestreel::videoscore2::jinja
