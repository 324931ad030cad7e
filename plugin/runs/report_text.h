// Private to the report: text that comes from elsewhere, made safe for HTML, URLs and shells.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bestreel::report {

/// For element content and for quoted attributes. Bytes that are not UTF-8 and control characters
/// become U+FFFD; characters that reorder what follows them (U+202A..E, U+2066..9) become visible,
/// as [U+202E]: a name or a prompt cannot pretend to be another.
std::string escape_html(std::string_view text);

/// A path as the path of a relative URL: every byte but the unreserved ones and '/' as %XX, so
/// spaces, '#', '?', '%', ':' and names that are not UTF-8 work.
std::string url_path(std::string_view path);

/// The command as a POSIX shell reads it; $'...' (bash, zsh, ksh) where an argument holds control
/// characters, reordering characters or bytes that are not UTF-8.
std::string shell_quote(std::string_view argument);

/// A file name from any text: letters, digits, '.', '-' and '_', the last 60 of it, never empty or
/// hidden.
std::string file_name(std::string_view text);

std::string base64(std::string_view bytes);

/// "visual_quality" as words: "visual quality".
std::string words(std::string_view name);

std::string joined(const std::vector<std::string>& parts, std::string_view between);

/// "3 videos", "1 video".
std::string counted(std::size_t count, std::string_view noun);

/// Two decimals, more where two would read 0.00; U+2212 as minus; an en dash for what is no number.
std::string number(double value);
/// The same with a sign always.
std::string signed_number(double value);
/// Four significant digits, for measures of any unit.
std::string measure(double value);

/// HTML that is ready for a page. Only html() makes one from text, and html() escapes every string
/// that it is given: what is not Markup cannot become markup.
struct Markup {
  std::string html;
  Markup& operator+=(const Markup& other) {
    html += other.html;
    return *this;
  }
};

namespace detail {
template <typename T>
constexpr bool is_text = std::is_convertible_v<const T&, std::string_view>;
template <typename T>
struct DecodedFrames {
  using type = std::conditional_t<is_text<T> || std::is_same_v<T, Markup>, std::string, T>;
};
template <typename T>
decltype(auto) show(const T& value) {
  if constexpr (std::is_same_v<T, Markup>) {
    return (value.html);
  } else if constexpr (is_text<T>) {
    return escape_html(value);
  } else {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, char>,
                  "html() takes text, numbers and Markup");
    return (value);
  }
}
}  // namespace detail

/// fmt::format whose strings are escaped; Markup and numbers pass.
template <typename... Args>
Markup html(fmt::format_string<typename detail::DecodedFrames<Args>::type...> pattern,
            const Args&... args) {
  return Markup{fmt::vformat(
      pattern, fmt::make_format_args(static_cast<const typename detail::DecodedFrames<Args>::type&>(
                   detail::show(args))...))};
}

}  // namespace bestreel::report
