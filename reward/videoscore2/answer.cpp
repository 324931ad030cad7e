#include "reward/videoscore2/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "reward/videoscore2/score_lines.h"

namespace bestreel::videoscore2 {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;
constexpr std::string_view kThinkBegin = "<think>";

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](char c) { return lower(c); });
  return result;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == kNowhere; }

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(" \t\r\n\v\f", at), text.size());
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// One score a dimension, in the profile's order; with numbers, (1) to (n) in order, and nothing
/// but blanks before, between and after.
bool is_whole_block(std::string_view text, const std::vector<ScoreLine>& lines,
                    const Profile& profile, bool numbered) {
  if (lines.size() != profile.dimensions.size()) return false;
  std::size_t done = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const ScoreLine& line = lines[i];
    if (line.dimension != i || !line.score) return false;
    if (numbered && line.number != static_cast<int>(i) + 1) return false;
    std::string_view between = text.substr(done, line.begin - done);
    between = between.substr(0, std::min(between.find_last_not_of("*_#->(["), between.size()) + 1);
    if (!is_blank(
            between.substr(std::min(between.find_first_not_of("*_#->.)`"), between.size())))) {
      return false;
    }
    done = line.end;
  }
  return is_blank(text.substr(done));
}

/// Where the last `count` lines that are not blank begin.
std::size_t last_lines(std::string_view text, std::size_t count) {
  std::size_t begin = text.size();
  while (begin > 0 && count > 0) {
    const std::size_t end = begin;
    const std::size_t newline = end >= 2 ? text.rfind('\n', end - 2) : kNowhere;
    begin = newline == kNowhere ? 0 : newline + 1;
    if (!is_blank(text.substr(begin, end - begin))) --count;
  }
  return begin;
}

/// What the reference does, for the report. `low` is the text in lower case.
void read_as_reference(std::string_view low, const Profile& profile, ParsedAnswer& answer) {
  std::vector<std::string> chain;
  std::size_t position = 0;
  for (const ProfileDimension& dimension : profile.dimensions) {
    const std::string label = lower(dimension.label) + ":";
    std::string digits;
    for (auto at = low.find(label, position); at != kNowhere; at = low.find(label, at + 1)) {
      const std::size_t digit = skip_blanks(low, at + label.size());
      std::size_t end = digit;
      while (end < low.size() && is_digit(low[end])) ++end;
      if (end == digit) continue;
      digits = low.substr(digit, end - digit);
      position = end;
      break;
    }
    if (digits.empty()) break;
    chain.push_back(std::move(digits));
  }
  for (std::size_t i = 0; i < answer.scores.size(); ++i) {
    ParsedScore& score = answer.scores[i];
    if (chain.size() == answer.scores.size()) score.first_match = chain[i];
    const std::string label = lower(profile.dimensions[i].label) + ":";
    if (const auto at = low.find(label); at != kNowhere) {
      const auto digit = std::find_if(low.begin() + static_cast<std::ptrdiff_t>(at + label.size()),
                                      low.end(), is_digit);
      if (digit != low.end()) score.next_digit = *digit;
    }
  }
}

/// The part of the text that may hold scores.
struct Anchor {
  std::size_t begin = 0, end = 0;
  std::size_t rationale_end = 0;
  bool numbered_block = false;  // no </think>: only a whole block counts
};

Anchor find_anchor(std::string_view text, std::string_view low, const Profile& profile,
                   const ScoreLineReader& reader, ParsedAnswer& answer) {
  const std::string think_end = lower(profile.think_end);
  const std::size_t last = think_end.empty() ? kNowhere : low.rfind(think_end);
  if (last == kNowhere) {
    const std::size_t begin = last_lines(text, profile.dimensions.size());
    return {begin, text.size(), text.size(), true};
  }
  answer.has_think_end = true;
  Anchor anchor{last + think_end.size(), text.size(), last, false};
  const std::size_t before = last == 0 ? kNowhere : low.rfind(think_end, last - 1);
  if (before != kNowhere) {
    answer.remarks.push_back(
        fmt::format("{} is written more than once; what follows the last one "
                    "counts",
                    profile.think_end));
    const std::size_t begin = before + think_end.size();
    const std::string_view between = text.substr(begin, last - begin);
    if (begin <= last && is_blank(text.substr(anchor.begin)) &&
        is_whole_block(between, reader.read(between), profile, false)) {
      answer.remarks.back() = fmt::format(
          "{} is repeated behind the final block, which stands "
          "alone between the two",
          profile.think_end);
      return {begin, last, before, false};
    }
  }
  if (const auto again = low.find(kThinkBegin, anchor.begin); again != kNowhere) {
    answer.remarks.push_back(
        fmt::format("{} is opened again behind the last {} and not closed; what "
                    "follows it does not count",
                    kThinkBegin, profile.think_end));
    anchor.end = again;
  }
  return anchor;
}

/// A hostile text repeats itself; the report does not.
void remark(ParsedAnswer& answer, std::string sentence) {
  auto& all = answer.remarks;
  if (std::find(all.begin(), all.end(), sentence) == all.end()) all.push_back(std::move(sentence));
}

void take_lines(const std::vector<ScoreLine>& lines, const Anchor& anchor, const Profile& profile,
                ParsedAnswer& answer) {
  std::vector<bool> refused(answer.scores.size());
  for (const ScoreLine& line : lines) {
    ParsedScore& score = answer.scores[line.dimension];
    const std::string& label = profile.dimensions[line.dimension].label;
    if (line.number > 0 && line.number != static_cast<int>(line.dimension) + 1) {
      remark(answer, fmt::format("'{}' carries the number {} and not {}; the label counts", label,
                                 line.number, line.dimension + 1));
    }
    if (refused[line.dimension]) continue;
    if (!line.score) {
      remark(answer, fmt::format("'{}' has no score: {}", label, line.problem));
      refused[line.dimension] = true;
    } else if (score.score && score.score != line.score) {
      remark(answer, fmt::format("'{}' has no score: both {} and {} are given for it", label,
                                 *score.score, *line.score));
      refused[line.dimension] = true;
    } else if (!score.score) {
      score.score = line.score;
      score.offset = anchor.begin + line.digit;
    }
  }
  for (std::size_t i = 0; i < refused.size(); ++i) {
    if (refused[i]) answer.scores[i].score.reset(), answer.scores[i].offset = 0;
  }
}

void add_verdict(const Profile& profile, const std::vector<ScoreLine>& lines,
                 ParsedAnswer& answer) {
  answer.complete = std::all_of(answer.scores.begin(), answer.scores.end(),
                                [](const ParsedScore& s) { return s.score.has_value(); });
  if (lines.empty()) {
    answer.remarks.push_back(
        answer.has_think_end
            ? fmt::format("the final block is missing: no score line follows {}", profile.think_end)
            : fmt::format("the final block is missing: the text has no {} and does not end in a "
                          "numbered block",
                          profile.think_end));
  } else {
    for (std::size_t i = 0; i < answer.scores.size(); ++i) {
      const bool seen = std::any_of(lines.begin(), lines.end(),
                                    [&](const ScoreLine& line) { return line.dimension == i; });
      if (!seen) {
        answer.remarks.push_back(fmt::format("'{}' has no score: the final block has no such line",
                                             profile.dimensions[i].label));
      }
    }
  }
  for (std::size_t i = 0; i < answer.scores.size(); ++i) {
    const ParsedScore& score = answer.scores[i];
    const std::string right = score.score ? std::to_string(*score.score) : "nothing";
    const std::string& label = profile.dimensions[i].label;
    const std::string match = score.first_match.value_or("nothing");
    if (match != right) {
      answer.first_match_differs = true;
      answer.remarks.push_back(
          fmt::format("first-match sample finds {} for '{}', the final block says {}",
                      match.substr(0, 20), label, right));
    }
    if (score.next_digit && std::string(1, *score.next_digit) != right) {
      answer.first_match_differs = true;
      answer.remarks.push_back(
          fmt::format("the first digit after the first '{}:' is {}, which is not its score", label,
                      *score.next_digit));
    }
  }
}

}  // namespace

ParsedAnswer parse_answer(std::string_view text, const Profile& profile) {
  ParsedAnswer answer;
  for (const ProfileDimension& dimension : profile.dimensions) {
    answer.scores.push_back({dimension.name, std::nullopt, 0, std::nullopt, std::nullopt});
  }
  const std::string low = lower(text);
  const ScoreLineReader reader(profile);
  Anchor anchor = find_anchor(text, low, profile, reader, answer);
  const std::string_view final_part = text.substr(anchor.begin, anchor.end - anchor.begin);
  std::vector<ScoreLine> lines = reader.read(final_part);
  if (anchor.numbered_block) {
    if (is_whole_block(final_part, lines, profile, true)) {
      answer.remarks.push_back(
          fmt::format("the text has no {}; its last lines are a whole numbered "
                      "block, which counts",
                      profile.think_end));
      anchor.rationale_end = anchor.begin;
    } else {
      lines.clear();
    }
  }
  const std::size_t think = low.find(kThinkBegin);
  const std::size_t rationale =
      think != kNowhere && think < anchor.rationale_end ? think + kThinkBegin.size() : 0;
  answer.rationale = text.substr(rationale, anchor.rationale_end - rationale);
  take_lines(lines, anchor, profile, answer);
  read_as_reference(low, profile, answer);
  add_verdict(profile, lines, answer);
  return answer;
}

}  // namespace bestreel::videoscore2
