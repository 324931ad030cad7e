#include "reward/videoscore2/jinja_lexer.h"

#include <cstddef>

namespace bestreel::videoscore2::jinja {
namespace {

constexpr std::size_t kMaxSource = 1 << 18;

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f'; }

/// Line ends are made \n and one at the very end is dropped before anything else, as Jinja does.
std::string with_newlines(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) read_data();
    add(Token::kEnd, "");
    return std::move(tokens_);
  }

 private:
  bool here(std::string_view what) const {
    return std::string_view(source_).substr(at_).starts_with(what);
  }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  void add(Token::Type type, std::string text) {
    tokens_.push_back({type, std::move(text), line_});
  }
  void skip(std::size_t count) {
    for (; count > 0 && at_ < source_.size(); --count) line_ += source_[at_++] == '\n' ? 1 : 0;
  }

  void read_data() {
    std::size_t open = at_;
    for (;; ++open) {
      open = source_.find('{', open);
      if (open == std::string::npos || open + 1 >= source_.size()) {
        open = source_.size();
        break;
      }
      const char next = source_[open + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    std::string data = source_.substr(at_, open - at_);
    const bool tag = open < source_.size();
    const char kind = tag ? source_[open + 1] : '\0';
    const char mark = tag && open + 2 < source_.size() ? source_[open + 2] : '\0';
    if (tag && mark == '-') {
      while (!data.empty() && is_blank(data.back())) data.pop_back();
    } else if (tag && kind != '{' && mark != '+') {  // lstrip_blocks
      const std::size_t text = data.find_last_not_of(" \t");
      const std::size_t keep = text == std::string::npos ? 0 : text + 1;
      const bool starts_line =
          keep == 0 ? at_ == 0 || source_[at_ - 1] == '\n' || trimmed_ : data[keep - 1] == '\n';
      if (starts_line) data.resize(keep);
    }
    trimmed_ = false;
    const int line = line_;
    skip(open - at_);
    if (!data.empty()) tokens_.push_back({Token::kData, std::move(data), line});
    if (!tag) return;
    skip(2);
    if (mark == '-' || (mark == '+' && kind != '{')) skip(1);
    if (kind == '#') {
      const std::size_t end = source_.find("#}", at_);
      if (end == std::string::npos) refuse_at(line_, "has a comment that does not end");
      const bool strip = end > at_ && source_[end - 1] == '-';
      skip(end + 2 - at_);
      close(strip, true);
    } else {
      add(kind == '{' ? Token::kOpenPrint : Token::kOpenBlock, "");
      read_tag(kind == '{' ? "}}" : "%}", kind == '%');
    }
  }

  /// Behind the end of a tag.
  void close(bool strip, bool block) {
    if (strip) {
      while (is_blank(peek())) skip(1);
    } else if (block && peek() == '\n') {  // trim_blocks
      skip(1);
      trimmed_ = true;
    }
  }

  void read_tag(std::string_view end, bool block) {
    int open = 0;  // brackets, since "}}" may close two dicts
    while (at_ < source_.size()) {
      const char c = peek();
      if (is_blank(c)) {
        skip(1);
      } else if (open == 0 &&
                 (here(end) || ((c == '-' || c == '+') && source_.compare(at_ + 1, 2, end) == 0))) {
        const bool plus = c == '+';
        skip(c == end[0] ? 2 : 3);
        add(Token::kClose, "");
        close(c == '-', block && !plus);
        return;
      } else if (is_name_start(c)) {
        std::string name;
        while (is_name_start(peek()) || is_digit(peek())) name += peek(), skip(1);
        add(Token::kName, std::move(name));
      } else if (is_digit(c)) {
        read_number();
      } else if (c == '\'' || c == '"') {
        read_string(c);
      } else {
        read_sign(open);
      }
    }
    refuse_at(line_, "has a tag that does not end");
  }

  void read_number() {
    std::string digits;
    while (is_digit(peek())) digits += peek(), skip(1);
    if (peek() == '.' && is_digit(peek(1))) {
      digits += '.';
      skip(1);
      while (is_digit(peek())) digits += peek(), skip(1);
      add(Token::kFloat, std::move(digits));
      return;
    }
    add(Token::kInt, std::move(digits));
  }

  /// Escapes as in Python.
  void read_string(char quote) {
    std::string text;
    const int line = line_;
    for (skip(1); peek() != quote; skip(1)) {
      if (at_ >= source_.size()) refuse_at(line, "has a text that does not end");
      if (peek() != '\\') {
        text += peek();
        continue;
      }
      skip(1);
      static constexpr std::string_view kPlain = "\\'\"nrtabfv", kMeaning = "\\'\"\n\r\t\a\b\f\v";
      const std::size_t known = kPlain.find(peek());
      if (peek() == '\n') continue;
      if (known == std::string_view::npos || at_ >= source_.size())
        refuse_at(line, "has a text with the escape \\{}", std::string(1, peek()));
      text += kMeaning[known];
    }
    skip(1);
    tokens_.push_back({Token::kString, std::move(text), line});
  }

  void read_sign(int& open) {
    for (const std::string_view two : {"==", "!=", "<=", ">=", "//", "**"}) {
      if (!here(two)) continue;
      add(Token::kSign, std::string(two));
      skip(2);
      return;
    }
    const char c = peek();
    if (std::string_view("+-*/%~<>=()[]{}.,:|").find(c) == std::string_view::npos)
      refuse_at(line_, "has an unexpected sign in a tag");
    open += c == '(' || c == '[' || c == '{' ? 1 : 0;
    open -= c == ')' || c == ']' || c == '}' ? 1 : 0;
    add(Token::kSign, std::string(1, c));
    skip(1);
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool trimmed_ = false;  // a line end was just dropped, so a line begins here
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) {
  if (source.size() > kMaxSource)
    throw TemplateError(fmt::format("is longer than {} bytes", kMaxSource));
  return Lexer(with_newlines(source)).run();
}

}  // namespace bestreel::videoscore2::jinja
