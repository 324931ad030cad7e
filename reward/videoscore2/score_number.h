// One number in plain text, judged as a score. Private to the library.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bestreel::videoscore2 {

inline bool is_letter(char c) { return c >= 'a' && c <= 'z'; }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads along plain text.
class Cursor {
 public:
  Cursor(std::string_view text, std::size_t at) : text_(text), at_(at) {}

  std::size_t at() const { return at_; }
  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  void advance() { ++at_; }
  bool skip(std::string_view set) {
    const std::size_t begin = at_;
    while (!done() && set.find(peek()) != std::string_view::npos) ++at_;
    return at_ > begin;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    const std::size_t end = at_ + word.size();
    if (end < text_.size() && (is_letter(text_[end]) || is_digit(text_[end]))) return false;
    at_ = end;
    return true;
  }
  std::string digits() {
    std::string value;
    while (is_digit(peek())) value += peek(), ++at_;
    return value;
  }
  std::string_view rest() const { return text_.substr(std::min(at_, text_.size())); }

 private:
  std::string_view text_;
  std::size_t at_;
};

struct Number {
  std::size_t at = 0;  // in plain text
  std::optional<int> score;
  std::string problem;
};

/// A number at the cursor (behind wrappers), judged: a score is one whole number from 1 to 5, and
/// no part of a range, an arrow, a comparison, a correction or another scale.
std::optional<Number> read_number(Cursor cursor);

/// Does a remark beside a number or a label name a scale to another number than 5: "(out of 10)",
/// "(1-10)", "on a 10-point scale"?
bool names_other_scale(std::string_view text);

/// Digits anywhere?
bool holds_digit(std::string_view text);

}  // namespace bestreel::videoscore2
