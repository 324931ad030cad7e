// Private to the libraries: throw an Error with a formatted sentence. Not installed (needs fmt).
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join, from fmt 11 on

#include <string>
#include <utility>

#include "core/base/error.h"

namespace bestreel {

/// fail("video_corrupt", "video", "{} holds no frame: ...", path)
template <typename... Args>
[[noreturn]] void fail(std::string code, std::string op, fmt::format_string<Args...> sentence,
                       Args&&... args) {
  throw Error(std::move(code), std::move(op), fmt::format(sentence, std::forward<Args>(args)...));
}

template <typename... Args>
[[noreturn]] void fail_usage(std::string op, fmt::format_string<Args...> sentence, Args&&... args) {
  throw UsageError(std::move(op), fmt::format(sentence, std::forward<Args>(args)...));
}

}  // namespace bestreel
