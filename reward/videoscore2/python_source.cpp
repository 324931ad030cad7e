#include "reward/videoscore2/python_source.h"

#include <cctype>
#include <cstdint>
#include <optional>
#include <utility>

namespace bestreel::videoscore2 {
namespace {

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// Python translates line ends before it reads anything else, inside string literals too.
std::string with_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      text += '\n';
    }
  }
  return text;
}

void append_utf8(std::string& text, std::uint32_t point) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0 | point >> 6);
    tail(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0 | point >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | point >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

class Scanner {
 public:
  explicit Scanner(std::string source) : source_(std::move(source)) {}

  std::vector<Assignment> run() {
    std::vector<Assignment> found;
    bool line_start = true;
    while (!done()) {
      const char c = peek();
      if (c == '#') {
        skip_comment();
      } else if (c == '\n') {
        line_start = true;
        ++at_;
      } else if (c == ' ' || c == '\t') {
        ++at_;
      } else if (is_name_start(c)) {
        const std::size_t name_at = at_;
        const std::string name = take_name();
        if (quote_at_prefix(name_at)) {  // r"...", and not a name at all
          at_ = name_at;
          skip_string();
        } else if (line_start) {
          if (auto assignment = take_assignment(name)) found.push_back(std::move(*assignment));
        }
        line_start = false;
      } else if (c == '"' || c == '\'') {
        skip_string();
        line_start = false;
      } else {
        ++at_;
        line_start = false;
      }
    }
    return found;
  }

 private:
  bool done() const { return at_ >= source_.size(); }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void skip_blanks(bool newlines = false) {
    while (peek() == ' ' || peek() == '\t' || (newlines && (peek() == '\n' || peek() == '#'))) {
      if (peek() == '#') {
        skip_comment();
      } else {
        ++at_;
      }
    }
  }
  void skip_comment() {
    while (!done() && peek() != '\n') ++at_;
  }
  std::string take_name() {
    const std::size_t begin = at_;
    while (is_name(peek())) ++at_;
    return source_.substr(begin, at_ - begin);
  }
  /// Is the name that began at `begin` and ends here the prefix of a literal?
  bool quote_at_prefix(std::size_t begin) const {
    if (at_ - begin > 2 || (peek() != '"' && peek() != '\'')) return false;
    return source_.substr(begin, at_ - begin).find_first_not_of("rRbBuUfF") == std::string::npos;
  }
  bool at_triple_quote() const {
    return (peek() == '"' || peek() == '\'') && peek(1) == peek() && peek(2) == peek();
  }

  /// Behind the name: `= """`, `: str = """`, `= string.Template(r"""`.
  std::optional<Assignment> take_assignment(const std::string& name) {
    const std::size_t begin = at_;
    Assignment assignment{name, "", ""};
    if (read_assignment(assignment)) return assignment;
    at_ = begin;
    return std::nullopt;
  }

  bool read_assignment(Assignment& assignment) {
    skip_blanks();
    if (take(':')) {
      while (!done() && peek() != '=' && peek() != '\n') ++at_;
    }
    if (!take('=')) return false;
    skip_blanks();
    int open = 0;  // parentheses around the literal
    std::size_t begin = at_;
    std::string word = take_name();
    if (word == "string" && take('.')) word = take_name();
    if (word == "Template" && take('(')) {
      ++open;
    } else {
      at_ = begin;
    }
    for (skip_blanks(open > 0); take('('); skip_blanks(true)) ++open;
    begin = at_;
    const std::string prefix = take_name();
    if (!at_triple_quote() || (!prefix.empty() && !quote_at_prefix(begin))) return false;
    read_literal(prefix, assignment);
    for (skip_blanks(open > 0); open > 0 && (take(')') || take(',')); skip_blanks(open > 0)) {
      if (source_[at_ - 1] == ')') --open;
    }
    if (open > 0 || (!done() && peek() != '\n' && peek() != '#' && peek() != ';')) {
      assignment.problem = "is changed by the program after it is written down";
    }
    return true;
  }

  /// At the opening quotes. The text's end is the closing ones, or the end of the program.
  void read_literal(const std::string& prefix, Assignment& assignment) {
    const bool raw = prefix.find_first_of("rR") != std::string::npos;
    if (prefix.find_first_of("fF") != std::string::npos) assignment.problem = "is an f-string";
    if (prefix.find_first_of("bB") != std::string::npos)
      assignment.problem = "is no text but bytes";
    const char quote = peek();
    at_ += 3;
    while (!done() && !(peek() == quote && at_triple_quote())) {
      if (peek() != '\\') {
        assignment.text += source_[at_++];
      } else if (raw) {  // the backslash stays, and the quote behind it does not close
        assignment.text += source_[at_++];
        if (!done()) assignment.text += source_[at_++];
      } else {
        ++at_;
        read_escape(assignment);
      }
    }
    if (done()) {
      assignment.problem = "does not end";
    } else {
      at_ += 3;
    }
  }

  /// Behind a backslash. An unknown escape keeps it, as in Python.
  void read_escape(Assignment& assignment) {
    if (done()) return;
    static constexpr std::string_view kPlain = "\\'\"abfnrtv", kMeaning = "\\'\"\a\b\f\n\r\t\v";
    std::string& text = assignment.text;
    const char c = source_[at_++];
    if (c == '\n') return;
    if (const auto known = kPlain.find(c); known != std::string_view::npos) {
      text += kMeaning[known];
    } else if (c >= '0' && c <= '7') {
      --at_;
      std::uint32_t value = 0;
      for (int i = 0; i < 3 && peek() >= '0' && peek() <= '7'; ++i) {
        value = value * 8 + static_cast<std::uint32_t>(source_[at_++] - '0');
      }
      append_utf8(text, value);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      read_hexadecimal(c == 'x' ? 2 : c == 'u' ? 4 : 8, assignment);
    } else {
      if (c == 'N') assignment.problem = "names a character with \\N{...}";
      text += '\\';
      text += c;
    }
  }

  void read_hexadecimal(int digits, Assignment& assignment) {
    std::uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(peek())));
      if (!std::isxdigit(static_cast<unsigned char>(c))) {
        assignment.problem = "holds an escape that Python does not know";
        return;
      }
      value = value * 16 + static_cast<std::uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
      ++at_;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      assignment.problem = "holds an escape that is no character";
      return;
    }
    append_utf8(assignment.text, value);
  }

  /// At a prefix or a quote of any string.
  void skip_string() {
    take_name();
    const char quote = peek();
    const bool triple = at_triple_quote();
    at_ += triple ? 3 : 1;
    while (!done()) {
      if (peek() == '\\') {
        at_ += 2;
      } else if (triple ? peek() == quote && at_triple_quote()
                        : peek() == quote || peek() == '\n') {
        at_ += triple ? 3 : peek() == quote ? 1 : 0;
        return;
      } else {
        ++at_;
      }
    }
  }

  std::string source_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<Assignment> triple_quoted_assignments(std::string_view source) {
  return Scanner(with_newlines(source)).run();
}

}  // namespace bestreel::videoscore2
