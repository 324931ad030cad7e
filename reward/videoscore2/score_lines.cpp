#include "reward/videoscore2/score_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "reward/videoscore2/plain_text.h"

namespace bestreel::videoscore2 {
namespace {

bool is_letter(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::vector<std::string> words_of(std::string_view label) {
  std::vector<std::string> words(1);
  for (const char raw : label) {
    const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(raw)));
    if (is_letter(c)) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

/// The label without some of its words, but with the last one and, if it has two, at least two.
std::set<std::string> spellings_of(std::string_view label) {
  const std::vector<std::string> words = words_of(label);
  std::set<std::string> spellings;
  if (words.empty() || words.size() > 8) return spellings;
  const unsigned last = 1u << (words.size() - 1);
  for (unsigned subset = last; subset < 2 * last; ++subset) {
    std::string letters;
    std::size_t count = 0;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (subset & 1u << i) letters += words[i], ++count;
    }
    if (count >= std::min<std::size_t>(words.size(), 2)) spellings.insert(letters);
  }
  return spellings;
}

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

/// What may stand between a separator and its number.
constexpr std::string_view kWrappers = " ([{<";

/// Does a second number follow that makes a range or a list of the first?
bool another_number_follows(Cursor cursor) {
  cursor.skip(" ,;&|");
  if (cursor.peek() == '-' || cursor.peek() == '~') {
    cursor.advance();
  } else if (!cursor.take_word("to") && !cursor.take_word("or") && !cursor.take_word("and")) {
    return is_digit(cursor.peek());
  }
  cursor.skip(" ");
  return is_digit(cursor.peek());
}

/// A number at the cursor (behind wrappers), judged: a score is one whole number from 1 to 5.
std::optional<Number> read_number(Cursor cursor) {
  cursor.skip(kWrappers);
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
  if (is_letter(cursor.peek()) || cursor.peek() == '%' || cursor.peek() == PlainText::kOther) {
    // "4th", "4%", "4½".
    return reject(fmt::format("{} has something attached to it", shown));
  }
  Cursor scale = cursor;
  scale.skip(" )]}>");
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
  number.score = whole[0] - '0';
  return number;
}

/// In what follows a label up to its end: a number right behind it, or behind a later colon (the
/// label's description stands between).
std::optional<Number> read_score(std::string_view plain, std::size_t begin) {
  Cursor cursor(plain, begin);
  for (cursor.skip(" ]}>");
       cursor.take_word("score") || cursor.take_word("scores") || cursor.take_word("rating");) {
    cursor.skip(" ");
  }
  Cursor direct = cursor;
  const bool colon = direct.skip(":=|");
  if (!colon && direct.peek() == '-') {
    direct.advance();
    if (direct.peek() != ' ') direct = cursor;  // "-4" is a number below zero
  }
  if (colon || direct.peek() != '(') {
    if (auto number = read_number(direct)) return number;
  }
  std::optional<Number> found;
  for (std::size_t i = cursor.at(); i < plain.size(); ++i) {
    if (plain[i] != ':' && plain[i] != '=' && plain[i] != '|') continue;
    const auto number = read_number(Cursor(plain, i + 1));
    if (!number) continue;
    if (found && found->score != number->score) {
      found->score.reset();
      found->problem = "more than one number is given";
      return found;
    }
    if (!found) found = number;
  }
  return found;
}

/// A line that is nothing but a number, for labels that stand alone on the line before.
std::optional<Number> read_number_line(std::string_view line, std::size_t begin) {
  Cursor cursor(line, begin);
  cursor.skip(" -");
  if (cursor.take_word("score") || cursor.take_word("rating")) cursor.skip(" :=");
  auto number = read_number(cursor);
  if (!number) return std::nullopt;
  for (std::size_t i = number->at; i < line.size(); ++i) {
    if (is_letter(line[i]) || line[i] == ':') return std::nullopt;  // prose, or a new item
  }
  return number;
}

/// "(1)", "1.", "[1]", "dim-1:", "dimension 1 -" before a label.
int take_item_number(Cursor& cursor) {
  Cursor ahead = cursor;
  const bool word = ahead.take_word("dimension") || ahead.take_word("dim");
  ahead.skip(word ? " -" : "");
  const bool bracket = ahead.peek() == '(' || ahead.peek() == '[';
  if (bracket) ahead.advance();
  ahead.skip(" ");
  const std::string digits = ahead.digits();
  if (digits.empty() || digits.size() > 2) return 0;
  ahead.skip(" ");
  const bool closed = ahead.skip(bracket ? ")]" : ").:-");
  if (!closed && !word) return 0;
  ahead.skip(" .:-");
  cursor = ahead;
  return std::stoi(digits);
}

}  // namespace

ScoreLineReader::ScoreLineReader(const Profile& profile) {
  std::map<std::string, std::set<std::size_t>> owners;
  for (std::size_t i = 0; i < profile.dimensions.size(); ++i) {
    for (const std::string& spelling : spellings_of(profile.dimensions[i].label)) {
      owners[spelling].insert(i);
    }
  }
  for (const auto& [spelling, dimensions] : owners) {
    if (dimensions.size() != 1) continue;  // it could be either's
    spellings_[spelling] = *dimensions.begin();
    longest_ = std::max(longest_, spelling.size());
  }
}

std::optional<std::size_t> ScoreLineReader::match_label(std::string_view plain, std::size_t begin,
                                                        std::size_t& dimension) const {
  std::string letters;
  std::optional<std::size_t> end;
  Cursor cursor(plain, begin);
  if (!is_letter(cursor.peek())) return end;
  while (letters.size() <= longest_) {
    while (is_letter(cursor.peek())) letters += cursor.peek(), cursor.advance();
    if (const auto at = spellings_.find(letters);
        at != spellings_.end() && !is_digit(cursor.peek())) {
      dimension = at->second;
      end = cursor.at();
    }
    if (!cursor.skip(" -/&,") || !is_letter(cursor.peek())) break;
    if (cursor.take_word("and")) cursor.skip(" ");
  }
  return end;
}

std::vector<ScoreLine> ScoreLineReader::read(std::string_view text) const {
  const PlainText plain = plain_text(text);
  const std::string_view all = plain.text;

  // Labels at the start of a line or of an item ("; ", "| ", "(2)"). Runs of blanks and bullets are
  // walked once, so that time grows with the length alone.
  std::vector<ScoreLine> lines;
  std::vector<std::size_t> label_ends;
  bool item_start = true;
  for (std::size_t i = 0; i < all.size();) {
    const char c = all[i];
    const bool bullet = c == ' ' || c == '-' || c == '#' || c == '+';
    if (c == '(' || (item_start && !bullet)) {
      Cursor cursor(all, i);
      const int number = take_item_number(cursor);
      std::size_t dimension = 0;
      if (item_start || number > 0) {
        if (const auto end = match_label(all, cursor.at(), dimension)) {
          lines.push_back({dimension, number, i, 0, std::nullopt, 0, ""});
          label_ends.push_back(*end);
          i = *end;
          item_start = false;
          continue;
        }
      }
    }
    constexpr std::string_view kItemEnds = "\n;|,{>";
    if (!bullet) item_start = kItemEnds.find(c) != std::string_view::npos;
    ++i;
  }

  std::vector<ScoreLine> found;
  std::size_t line_end = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::size_t next = i + 1 < lines.size() ? lines[i + 1].begin : all.size();
    if (line_end < label_ends[i]) line_end = std::min(all.find('\n', label_ends[i]), all.size());
    std::size_t end = std::min(line_end, next);
    auto number = read_score(all.substr(0, end), label_ends[i]);
    const bool alone =
        all.substr(label_ends[i], end - label_ends[i]).find_first_not_of(" :=|-]}>") ==
        std::string_view::npos;
    if (!number && alone && end == line_end) {
      const std::size_t below = std::min(all.find_first_not_of(" \n", end), all.size());
      end = std::min({all.find('\n', below), next, all.size()});
      if (below < end) number = read_number_line(all.substr(0, end), below);
    }
    if (!number) continue;
    ScoreLine line = lines[i];
    line.begin = plain.offset[lines[i].begin];
    line.end = plain.offset[end];
    line.score = number->score;
    line.digit = plain.offset[number->at];
    line.problem = number->problem;
    found.push_back(std::move(line));
  }
  return found;
}

}  // namespace bestreel::videoscore2
