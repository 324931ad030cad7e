// What a model wrote, without its typography. Private to the library.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bestreel::videoscore2 {

/// Lower-case ASCII: markdown's emphasis, quotes and invisible characters are gone, full-width
/// signs, dashes and spaces have become plain ones, circled numbers stand in brackets, LaTeX is its
/// arguments (a fraction with "/"), a counter behind a number (the Chinese, Japanese and Korean
/// words for a point, stars) is kCounter, any other character is kOther. `offset[i]` is where
/// text[i] came from in the original; the last one is the original's end.
struct PlainText {
  static constexpr char kOther = '\x1a';
  static constexpr char kCounter = '\x1b';

  std::string text;
  std::vector<std::size_t> offset;
};

PlainText plain_text(std::string_view original);

}  // namespace bestreel::videoscore2
