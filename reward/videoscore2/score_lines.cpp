#include "reward/videoscore2/score_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "reward/videoscore2/plain_text.h"
#include "reward/videoscore2/score_number.h"

namespace bestreel::videoscore2 {
namespace {

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
  const auto on_other_scale = [&](std::size_t number_at) {
    return names_other_scale(plain.substr(begin, std::min<std::size_t>(number_at - begin, 240)));
  };
  std::optional<Number> found;
  for (std::size_t i = cursor.at(); i < plain.size(); ++i) {
    if (plain[i] != ':' && plain[i] != '=' && plain[i] != '|') continue;
    constexpr std::string_view kComparisons = "<>!~\x1a";  // ">=3" is no score
    if (plain[i] == '=' && i > 0 && kComparisons.find(plain[i - 1]) != std::string_view::npos)
      continue;
    const auto number = read_number(Cursor(plain, i + 1));
    if (!number) continue;
    if (!found && number->score && on_other_scale(number->at))
      return Number{number->at, std::nullopt, "its label names another scale than to 5"};
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

/// "Correction: ...", and a number.
bool begins_correction(std::string_view line) {
  Cursor cursor(line, 0);
  cursor.skip(" -#>([");
  for (const std::string_view word :
       {"correction", "corrections", "corrected", "erratum", "edit", "revision", "revised",
        "update", "updated", "wait", "actually"})
    if (cursor.take_word(word)) return holds_digit(cursor.rest());
  return false;
}

}  // namespace

ScoreLineReader::ScoreLineReader(const Profile& profile) {
  dimensions_ = profile.dimensions.size();
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

std::vector<ScoreLine> ScoreLineReader::mentions(std::string_view text) const {
  const PlainText plain = plain_text(text);
  const std::string_view all = plain.text;
  std::vector<ScoreLine> found;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    const std::string_view line = all.substr(0, end);
    bool labelled = false;
    for (std::size_t i = begin; i < end; ++i) {
      if (i > begin && (is_letter(all[i - 1]) || is_digit(all[i - 1]))) continue;
      ScoreLine mention;
      const auto label = match_label(line, i, mention.dimension);
      if (!label) continue;
      labelled = true;
      Cursor cursor(line, *label);
      cursor.skip(" ]}>)");
      for (const std::string_view word : {"score", "rating", "is", "to", "becomes", "should be"})
        if (cursor.take_word(word)) cursor.skip(" ");
      cursor.skip(":=|-> \x1a");
      const auto number = read_number(cursor);
      i = *label - 1;
      if (!number) continue;
      mention.score = number->score;
      mention.begin = plain.offset[i];
      found.push_back(mention);
    }
    if (!labelled && begins_correction(line.substr(begin)))
      for (std::size_t i = 0; i < dimensions_; ++i) {
        ScoreLine correction;
        correction.dimension = i;
        correction.problem = "a correction follows that names no label";
        found.push_back(correction);
      }
    begin = end + 1;
  }
  return found;
}

ScoreLine ScoreLineReader::judge(std::size_t dimension, std::string_view text) const {
  const PlainText plain = plain_text(text);
  ScoreLine line;
  line.dimension = dimension;
  line.end = text.size();
  if (const auto number = read_number(Cursor(plain.text, 0))) {
    line.score = number->score;
    line.digit = plain.offset[number->at];
    line.problem = number->problem;
  } else {
    line.problem = "its value is no number";
  }
  return line;
}

std::optional<std::size_t> ScoreLineReader::dimension_of(std::string_view text) const {
  const PlainText plain = plain_text(text);
  Cursor cursor(plain.text, 0);
  cursor.skip(" ");
  take_item_number(cursor);
  std::size_t dimension = 0;
  const auto end = match_label(plain.text, cursor.at(), dimension);
  if (!end) return std::nullopt;
  Cursor rest(plain.text, *end);
  for (rest.skip(" "); rest.take_word("score") || rest.take_word("rating");) rest.skip(" ");
  rest.skip(" :");
  return rest.done() ? std::optional(dimension) : std::nullopt;
}

}  // namespace bestreel::videoscore2
