#include "plugin/runs/report_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <optional>

namespace bestreel::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view kMinus = "\xE2\x88\x92";        // U+2212
constexpr std::string_view kDash = "\xE2\x80\x93";         // U+2013

/// One character at the start of `text`: its code point and length; no value where the bytes are
/// not UTF-8 (overlong forms, surrogates and what lies beyond U+10FFFF included), and then
/// length 1.
struct Character {
  std::optional<char32_t> code;
  std::size_t length = 1;
};

Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {static_cast<char32_t>(lead), 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
  char32_t code = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
  if (code < smallest[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, length};
}

bool reorders(char32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

bool is_control(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

bool is_plain(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

std::string with_minus(std::string text) {
  if (text.starts_with('-')) text.replace(0, 1, kMinus);
  return text;
}

/// Enough decimals that a difference that is there does not read as zero.
int decimals(double value) {
  const double size = std::abs(value);
  if (size == 0 || size >= 0.00995) return 2;
  return std::min(8, static_cast<int>(std::ceil(-std::log10(size))) + 1);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const auto [code, length] = first_character(text);
    if (!code) {
      out += kReplacement;
    } else if (*code == '&') {
      out += "&amp;";
    } else if (*code == '<') {
      out += "&lt;";
    } else if (*code == '>') {
      out += "&gt;";
    } else if (*code == '"') {
      out += "&quot;";
    } else if (*code == '\'') {
      out += "&#39;";
    } else if (*code == '\r') {
      if (text.size() < 2 || text[1] != '\n') out += '\n';
    } else if (*code == '\n' || *code == '\t') {
      out += text[0];
    } else if (is_control(*code)) {
      out += kReplacement;
    } else if (reorders(*code)) {
      out += fmt::format("[U+{:04X}]", static_cast<std::uint32_t>(*code));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string url_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain(byte) || c == '/' || c == '~') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

std::string shell_quote(std::string_view argument) {
  bool plain = !argument.empty();
  bool printable = true;
  for (std::string_view rest = argument; !rest.empty();) {
    const auto [code, length] = first_character(rest);
    const char c = rest[0];
    plain = plain && (is_plain(static_cast<unsigned char>(c)) || c == '/' || c == ':' || c == ',' ||
                      c == '+' || c == '@' || c == '%' || c == '=');
    printable = printable && code && !is_control(*code) && !reorders(*code);
    rest.remove_prefix(length);
  }
  if (plain) return std::string(argument);
  std::string out = printable ? "'" : "$'";
  while (!argument.empty()) {
    const auto [code, length] = first_character(argument);
    const std::string_view character = argument.substr(0, length);
    if (printable) {
      out += character == "'" ? std::string_view("'\\''") : character;
    } else if (character == "\n") {
      out += "\\n";
    } else if (character == "\t") {
      out += "\\t";
    } else if (!code || is_control(*code) || reorders(*code)) {
      for (const char c : character) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      // A hexadecimal digit that follows would be read as part of the escape by some shells.
      if (argument.size() > length && std::isxdigit(static_cast<unsigned char>(argument[length]))) {
        out += "'$'";
      }
    } else {
      if (character == "'" || character == "\\") out += '\\';
      out += character;
    }
    argument.remove_prefix(length);
  }
  return out + "'";
}

std::string file_name(std::string_view text) {
  text.remove_prefix(text.size() > 60 ? text.size() - 60 : 0);
  std::string out;
  if (text.empty() || text[0] == '.' || text[0] == '-') out += '_';
  for (const char c : text) out += is_plain(static_cast<unsigned char>(c)) ? c : '_';
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) -> std::uint32_t {
      return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0;
    };
    const std::uint32_t group = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : digits[group >> (18 - 6 * k) & 63];
    }
  }
  return out;
}

std::string words(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c == '_') c = ' ';
  }
  return out;
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += between;
    out += parts[i];
  }
  return out;
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string number(double value) {
  if (!std::isfinite(value)) return std::string(kDash);
  if (value == 0) return "0.00";
  return with_minus(fmt::format("{:.{}f}", value, decimals(value)));
}

std::string signed_number(double value) {
  if (!std::isfinite(value)) return std::string(kDash);
  if (value == 0)
    return "\xC2\xB1"
           "0.00";
  return with_minus(fmt::format("{:+.{}f}", value, decimals(value)));
}

std::string measure(double value) {
  if (!std::isfinite(value)) return std::string(kDash);
  return with_minus(fmt::format("{:.4g}", value));
}

}  // namespace bestreel::report
