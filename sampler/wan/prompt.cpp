#include "sampler/wan/prompt.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "sampler/wan/html_unescape.h"

namespace bestreel::wan {
namespace {

std::u32string decode(std::string_view text) {
  std::u32string out;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = -1;
    const utf8proc_ssize_t read = utf8proc_iterate(at, left, &c);
    const utf8proc_ssize_t step = read > 0 ? read : 1;
    out += read > 0 ? static_cast<char32_t>(c) : U'\xFFFD';
    at += step;
    left -= step;
  }
  return out;
}

std::string encode(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

std::string normalised(const std::string& text, int options) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &result,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | options));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(result, std::free);
  return size < 0
             ? text
             : std::string(reinterpret_cast<const char*>(result), static_cast<std::size_t>(size));
}

std::u32string_view ligature(char32_t c) {
  switch (c) {
    case 0x132:
      return U"IJ";
    case 0x133:
      return U"ij";
    case 0x149:
      return U"\u02BCn";
    case 0x1F1:
      return U"DZ";
    case 0x1F2:
      return U"Dz";
    case 0x1F3:
      return U"dz";
    case 0x1C4:
      return U"D\u017D";
    case 0x1C5:
      return U"D\u017E";
    case 0x1C6:
      return U"d\u017E";
    case 0x1C7:
      return U"LJ";
    case 0x1C8:
      return U"Lj";
    case 0x1C9:
      return U"lj";
    case 0x1CA:
      return U"NJ";
    case 0x1CB:
      return U"Nj";
    case 0x1CC:
      return U"nj";
    case 0xFB00:
      return U"ff";
    case 0xFB01:
      return U"fi";
    case 0xFB02:
      return U"fl";
    case 0xFB03:
      return U"ffi";
    case 0xFB04:
      return U"ffl";
    case 0xFB05:
      return U"\u017Ft";
    case 0xFB06:
      return U"st";
    default:
      return {};
  }
}

bool is_control(char32_t c) {
  return c < 0x9 || c == 0xB || (c >= 0xE && c < 0x20) || c == 0x7F ||
         (c >= 0x206A && c < 0x2070) || c == 0xFEFF || (c >= 0xFFF9 && c < 0xFFFD);
}

// "\033[1;31m": colours of a terminal. Its length, 0 = none here.
std::size_t terminal_escape(std::u32string_view s) {
  if (s.size() < 3 || s[0] != 0x1B || s[1] != U'[') return 0;
  std::size_t at = 2;
  while (at < s.size() && ((s[at] >= U'0' && s[at] <= U'9') || s[at] == U';')) ++at;
  const char32_t last = at < s.size() ? s[at] : 0;
  return (last >= U'A' && last <= U'Z') || (last >= U'a' && last <= U'z') ? at + 1 : 0;
}

// What Windows-1252 writes as 0x80 to 0x9F; the unassigned five are controls.
constexpr std::u32string_view kUpper =
    U"\u20AC\u0081\u201A\u0192\u201E\u2026\u2020\u2021\u02C6\u2030\u0160\u2039\u0152\u008D\u017D"
    U"\u008F\u0090\u2018\u2019\u201C\u201D\u2022\u2013\u2014\u02DC\u2122\u0161\u203A\u0153\u009D"
    U"\u017E\u0178";

// One character of fix_text, in the order of its fixers.
void fix_character(char32_t c, std::u32string& out) {
  if (c >= 0x80 && c < 0xA0) c = kUpper[c - 0x80];  // nobody means the control
  if (const std::u32string_view parts = ligature(c); !parts.empty()) {
    for (const char32_t part : parts) fix_character(part, out);
  } else if (c == 0x3000) {
    out += U' ';
  } else if (c >= 0xFF01 && c < 0xFFF0) {
    out += decode(normalised(encode({&c, 1}), UTF8PROC_COMPAT));
  } else if (c == 0x2BC || (c >= 0x2018 && c < 0x201C)) {
    out += U'\'';
  } else if (c >= 0x201C && c < 0x2020) {
    out += U'"';
  } else if (c == 0x2028 || c == 0x2029) {
    out += U'\n';
  } else if (!is_control(c)) {
    out += c;
  }
}

std::string fix_text(std::string text) {
  const bool markup = text.find('<') != std::string::npos;
  while (true) {
    const std::string before = text;
    if (!markup) text = html_unescape(text, /*strict=*/true);
    const std::u32string wide = decode(text);
    std::u32string fixed;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (const std::size_t escape = terminal_escape(std::u32string_view(wide).substr(i)))
        i += escape - 1;
      else
        fix_character(wide[i], fixed);
    }
    text = normalised(encode(fixed), 0);
    if (text == before) return text;
  }
}

// What Python's str.strip() and \s take for white space.
bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

// The byte that Windows-1252 writes for c, or -1.
int windows_1252(char32_t c) {
  if (c < 0x100) return static_cast<int>(c);
  const std::size_t at = kUpper.find(c);
  return at == std::u32string_view::npos ? -1 : 0x80 + static_cast<int>(at);
}

bool looks_misread(std::u32string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int lead = windows_1252(text[i]);
    const std::size_t more = lead >= 0xC2 && lead < 0xE0   ? 1
                             : lead >= 0xE0 && lead < 0xF0 ? 2
                             : lead >= 0xF0 && lead < 0xF5 ? 3
                                                           : 0;
    if (more == 0 || i + more >= text.size()) continue;
    bool all = true;
    for (std::size_t k = 1; k <= more; ++k) {
      const int byte = windows_1252(text[i + k]);
      all = all && byte >= 0x80 && byte < 0xC0;
    }
    if (all) return true;
  }
  return false;
}

}  // namespace

CleanPrompt clean_prompt(std::string_view prompt) {
  const std::u32string given = decode(prompt);
  CleanPrompt clean;
  if (looks_misread(given))
    clean.warning =
        "the prompt looks like UTF-8 that was read as Windows-1252 (such as \"Ã©\" for \"é\"); it "
        "is used as it is: check the encoding of the file it came from";
  std::string text = fix_text(encode(given));
  text = html_unescape(html_unescape(text, false), false);
  bool gap = false;
  for (const char32_t c : decode(text)) {
    if (is_space(c)) {
      gap = !clean.text.empty();
      continue;
    }
    if (gap) clean.text += ' ';
    gap = false;
    append_utf8(clean.text, c);
  }
  return clean;
}

}  // namespace bestreel::wan
