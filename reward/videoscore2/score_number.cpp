#include "reward/videoscore2/score_number.h"

#include <fmt/format.h>

#include <algorithm>

#include "reward/videoscore2/plain_text.h"

namespace bestreel::videoscore2 {
namespace {

/// Bytes beside a number that are looked at, so that time grows with the length alone.
constexpr std::size_t kRemark = 240;

/// What may stand between a separator and its number.
constexpr std::string_view kWrappers = " ([{<";

constexpr std::string_view kClosers = " )]}>";

/// Does a second number follow that makes a range, a list or an arrow of the first?
bool another_number_follows(Cursor cursor) {
  if (cursor.rest().starts_with("..")) cursor.skip(".");
  cursor.skip(" ,;&|)]}");
  for (const std::string_view word : {"maybe", "perhaps", "possibly", "then", "now", "or"}) {
    Cursor ahead = cursor;
    ahead.skip("(");
    if (!ahead.take_word(word)) continue;
    ahead.skip(" ");
    if (is_digit(ahead.peek())) return true;
  }
  const std::string_view rest = cursor.rest();
  if (rest.size() >= 3 && rest[0] == '(' && is_digit(rest[1]) && rest[2] == ')') return true;
  if (cursor.peek() == ':') {
    cursor.skip(": ");
  } else if (cursor.peek() == '-' || cursor.peek() == '~' || cursor.peek() == '=' ||
             cursor.peek() == PlainText::kOther || cursor.peek() == '>') {
    cursor.skip("-~=> \x1a");
  } else if (!cursor.take_word("to") && !cursor.take_word("or") && !cursor.take_word("and") &&
             !cursor.take_word("but") && !cursor.take_word("not") && !cursor.take_word("vs")) {
    return is_digit(cursor.peek());
  }
  cursor.skip(" ([{<");
  return is_digit(cursor.peek());
}

/// Is the number more, less or about: "3+", "3 or more", "3 at most"?
bool is_bound(Cursor cursor) {
  if (cursor.peek() == '+' || cursor.peek() == '~') return true;
  cursor.skip(" ,(");
  for (const std::string_view words :
       {"or more", "or less", "or higher", "or lower", "or above", "or below", "or better",
        "or worse", "and above", "and up", "at most", "at least", "at best", "plus", "minus"})
    if (cursor.take_word(words)) return true;
  return false;
}

/// Words after which a number is another opinion: "4 (should be 3)".
bool is_corrected(std::string_view rest) {
  for (const std::string_view word :
       {"correct",    "revis",     "updat",     "actually", "rather",   "instead",    "should",
        "wait",       "no,",       "lowered",   "raised",   "reduced",  "increased",  "adjust",
        "reconsider", "make that", "sorry",     "oops",     "previous", "originally", "was ",
        "changed",    "scratch",   "downgrade", "upgrade"}) {
    const std::size_t at = rest.find(word);
    if (at == std::string_view::npos) continue;
    if (at > 0 && is_letter(rest[at - 1])) continue;
    constexpr std::size_t kNear = 32;
    if (holds_digit(rest.substr(at, word == "was " ? 6 : kNear))) return true;
  }
  return false;
}

/// The largest number of a text, up to a thousand.
int largest_number(std::string_view text) {
  int largest = 0;
  for (std::size_t i = 0; i < text.size();) {
    int value = 0;
    for (; i < text.size() && is_digit(text[i]); ++i)
      value = std::min(value * 10 + text[i] - '0', 1000);
    largest = std::max(largest, value);
    if (i < text.size() && !is_digit(text[i])) ++i;
  }
  return largest;
}

/// Over closed remarks in brackets and words for points, to where a scale may stand. `other`: one
/// of the remarks names another scale.
void skip_remarks(Cursor& cursor, bool& other) {
  for (;;) {
    cursor.skip(kClosers);
    if (cursor.peek() == PlainText::kCounter || cursor.peek() == PlainText::kOther) {
      cursor.advance();
      continue;
    }
    if (cursor.take_word("points") || cursor.take_word("point") || cursor.take_word("stars") ||
        cursor.take_word("star") || cursor.take_word("pts") || cursor.take_word("marks"))
      continue;
    if (cursor.peek() != '(' && cursor.peek() != '[') return;
    const std::string_view rest = cursor.rest().substr(0, kRemark);
    const std::size_t end = rest.find(cursor.peek() == '(' ? ')' : ']');
    if (end == std::string_view::npos) return;
    other = other || names_other_scale(rest.substr(1, end - 1));
    for (std::size_t i = 0; i <= end; ++i) cursor.advance();
  }
}

}  // namespace

bool holds_digit(std::string_view text) {
  return text.find_first_of("0123456789") != std::string_view::npos;
}

bool names_other_scale(std::string_view text) {
  bool about_scale = text.find("scale") != std::string_view::npos ||
                     text.find("out of") != std::string_view::npos ||
                     text.find("max") != std::string_view::npos ||
                     text.find("point") != std::string_view::npos ||
                     text.find(PlainText::kCounter) != std::string_view::npos;
  for (std::size_t i = 0; !about_scale && i < text.size(); ++i) {
    const bool starts = i == 0 || !is_digit(text[i - 1]);
    if (starts && (text[i] == '0' || text[i] == '1')) {  // "1-10", "0 to 100"
      Cursor cursor(text, i + 1);
      cursor.skip(" ");
      if (cursor.peek() == '-' || cursor.peek() == '~') {
        cursor.advance();
      } else if (!cursor.take_word("to")) {
        continue;
      }
      cursor.skip(" ");
      about_scale = is_digit(cursor.peek());
    }
    if (text[i] == '/') {
      Cursor cursor(text, i + 1);
      cursor.skip(" ");
      about_scale = is_digit(cursor.peek()) && (i == 0 || text.find_first_not_of(' ') == i);
    }
  }
  return about_scale && largest_number(text) > 5;
}

std::optional<Number> read_number(Cursor cursor) {
  bool below = false;  // "<3" unless it is "<3>"
  for (; !cursor.done() && kWrappers.find(cursor.peek()) != std::string_view::npos;
       cursor.advance())
    below = below || cursor.peek() == '<';
  Number number{cursor.at(), std::nullopt, ""};
  const std::size_t begin = cursor.at();
  const bool sign = cursor.peek() == '-' || cursor.peek() == '+';
  if (sign) cursor.advance();
  if (!is_digit(cursor.peek())) return std::nullopt;
  const std::string whole = cursor.digits();
  std::string fraction;
  if (cursor.peek() == '.' || cursor.peek() == ',') {
    Cursor behind = cursor;
    behind.advance();
    fraction = behind.digits();
    if (!fraction.empty()) cursor = behind;
  }
  std::string shown = sign ? "-" : "";
  shown += whole.substr(0, 20);
  if (!fraction.empty()) (shown += '.') += fraction.substr(0, 20);
  const auto reject = [&](const std::string& why) {
    number.problem = why;
    return number;
  };
  number.at = begin;
  if (sign || whole.size() != 1 || whole[0] < '1' || whole[0] > '5' ||
      fraction.find_first_not_of('0') != std::string::npos) {
    return reject(fmt::format("{} is no whole number from 1 to 5", shown));
  }
  if (below && cursor.rest().substr(0, 4).find('>') == std::string_view::npos)
    return reject(fmt::format("less than {} is no score", shown));
  if (cursor.peek() == PlainText::kCounter) {
    cursor.advance();
    if (cursor.peek() == PlainText::kOther || is_digit(cursor.peek()))
      return reject(fmt::format("{} has something attached to it", shown));
  } else if (is_letter(cursor.peek()) || cursor.peek() == '%' ||
             cursor.peek() == PlainText::kOther) {
    // "4th", "4%", "4½".
    return reject(another_number_follows(cursor)
                      ? "more than one number is given"
                      : fmt::format("{} has something attached to it", shown));
  }
  if (is_bound(cursor)) return reject(fmt::format("{} is a bound and no score", shown));
  Cursor scale = cursor;
  bool other_scale = false;
  skip_remarks(scale, other_scale);
  if (other_scale) return reject(fmt::format("{} is not on a scale to 5", shown));
  const bool slash = scale.peek() == '/';
  if (slash) scale.advance();
  if (slash || scale.take_word("out of") || scale.take_word("of")) {
    scale.skip(" ");
    if (scale.digits() != "5" || scale.peek() == '.') {
      return reject(fmt::format("{} is not on a scale to 5", shown));
    }
    cursor = scale;
  }
  if (another_number_follows(cursor)) return reject("more than one number is given");
  const std::string_view rest = cursor.rest().substr(0, kRemark);
  if (is_corrected(rest.substr(0, rest.find('\n'))))
    return reject(fmt::format("{} is corrected behind it", shown));
  number.score = whole[0] - '0';
  return number;
}

}  // namespace bestreel::videoscore2
