#include "cli/output.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <cstdint>
#include <iostream>
#include <streambuf>
#include <string_view>

namespace bestreel::cli {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

const std::string& mark() {
  static const std::string text = [] {
    std::uint64_t bits = 0;
    [[maybe_unused]] const ssize_t got = ::getrandom(&bits, sizeof bits, 0);
    return fmt::format("\x1b[{:016x};", bits);
  }();
  return text;
}

/// Bytes of the character that `lead` begins; 0: none begins so.
std::size_t length_of(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

bool is_whole(std::string_view character) {
  for (std::size_t i = 1; i < character.size(); ++i) {
    if ((static_cast<unsigned char>(character[i]) & 0xC0) != 0x80) return false;
  }
  return true;
}

/// Of one whole character.
bool is_control(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (character.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;  // the second set, U+0080..
  // What turns the order of the text around it: U+202A..U+202E, U+2066..U+2069.
  return character.size() == 3 && byte(0) == 0xE2 &&
         ((byte(1) == 0x80 && byte(2) >= 0xAA && byte(2) <= 0xAE) ||
          (byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9));
}

class Filter final : public std::streambuf {
 public:
  explicit Filter(std::ostream& stream) : stream_(stream), below_(stream.rdbuf(this)) {}
  ~Filter() override { stream_.rdbuf(below_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  bool lost() const { return lost_; }

 private:
  int_type overflow(int_type c) override {
    if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
    const char byte = traits_type::to_char_type(c);
    return xsputn(&byte, 1) == 1 ? c : traits_type::eof();
  }

  std::streamsize xsputn(const char* bytes, std::streamsize count) override {
    held_.append(bytes, static_cast<std::size_t>(count));
    return put(take(/*all=*/false)) ? count : 0;
  }

  int sync() override {
    if (!put(take(/*all=*/true)) || below_->pubsync() != 0) lost_ = true;
    return lost_ ? -1 : 0;
  }

  bool put(const std::string& text) {
    const auto size = static_cast<std::streamsize>(text.size());
    lost_ = lost_ || below_->sputn(text.data(), size) != size;
    return !lost_;
  }

  /// What of held_ can be decided on, filtered; a character or a mark that is cut waits for the
  /// rest.
  std::string take(bool all) {
    std::string out;
    std::string_view rest = held_;
    while (!rest.empty()) {
      if (rest[0] == '\x1b' && rest.starts_with(mark())) {
        out += "\x1b[";
        rest.remove_prefix(mark().size());
        continue;
      }
      const bool cut_mark = rest[0] == '\x1b' && mark().starts_with(rest);
      const std::size_t length = length_of(static_cast<unsigned char>(rest[0]));
      const bool cut = cut_mark || (length > rest.size() && is_whole(rest)) ||
                       (rest[0] == '\r' && rest.size() == 1);
      if (cut && !all) break;
      const std::string_view character = rest.substr(0, length);
      if (length == 0 || character.size() < length || !is_whole(character)) {
        out += kReplacement;
        rest.remove_prefix(1);
        continue;
      }
      const bool line_end = rest[0] == '\n' || rest[0] == '\t' || rest.starts_with("\r\n");
      if (line_end || !is_control(character)) {
        out += character;
      } else {
        out += kReplacement;
      }
      rest.remove_prefix(length);
    }
    held_ = std::string(rest);
    return out;
  }

  std::ostream& stream_;
  std::streambuf* below_;
  std::string held_;
  bool lost_ = false;
};

Filter* out = nullptr;

}  // namespace

void filter_output() {
  // A dead filter must not be written to by what runs after main.
  static Filter standard_out(std::cout), standard_error(std::cerr);
  out = &standard_out;
}

std::string escape(const std::string& sequence) { return mark() + sequence; }

std::string erase_line() { return escape("G") + escape("K"); }

bool stdout_is_whole() {
  std::cout.flush();
  return std::cout.good() && (out == nullptr || !out->lost());
}

std::string bounded(std::string sentence) {
  constexpr std::size_t kMost = 4000;
  if (sentence.size() <= kMost) return sentence;
  const std::size_t left = sentence.size() - kMost;
  sentence.resize(kMost);
  return sentence + fmt::format("... ({} more bytes)", left);
}

}  // namespace bestreel::cli
