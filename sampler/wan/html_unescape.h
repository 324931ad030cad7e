// HTML character references to characters, by the rules of HTML5. Private.
#pragma once

#include <string>
#include <string_view>

namespace bestreel::wan {

/// All forms that browsers accept, with or without the semicolon ("&ampx" is "&x"). `strict`: only
/// those that end in one. Text must be UTF-8.
std::string html_unescape(std::string_view text, bool strict);

/// Appends a code point as UTF-8.
void append_utf8(std::string& text, char32_t c);

}  // namespace bestreel::wan
