// Score lines in a piece of text, label by label. Private to the library.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reward/videoscore2/profile.h"

namespace bestreel::videoscore2 {

/// One label where a score line can begin, and what was found behind it.
struct ScoreLine {
  std::size_t dimension = 0;
  int number = 0;            ///< n of "(n)" before the label; 0: none
  std::size_t begin = 0;     ///< in bytes of the text, at the number or the label
  std::size_t end = 0;       ///< behind what belongs to the label
  std::optional<int> score;  ///< 1..5
  std::size_t digit = 0;     ///< where, in bytes
  std::string problem;       ///< why there is a number but no score; empty otherwise
};

/// Finds the labels of one profile. Immutable: any thread may use it.
class ScoreLineReader {
 public:
  explicit ScoreLineReader(const Profile& profile);

  /// In the order of the text. Labels without any number behind them are left out.
  std::vector<ScoreLine> read(std::string_view text) const;

  /// Every place where a label has a number, at the start of a line or not, and corrections without
  /// a label (those have a problem): no scores, but what a score must not contradict.
  std::vector<ScoreLine> mentions(std::string_view text) const;

  /// What stands behind a label, "3" or "4/5 (good)", as a line of its own.
  ScoreLine judge(std::size_t dimension, std::string_view text) const;

  /// Whose label a text is, and nothing else.
  std::optional<std::size_t> dimension_of(std::string_view text) const;

 private:
  /// Where a label that begins at `begin` of plain text ends, and whose it is.
  std::optional<std::size_t> match_label(std::string_view plain, std::size_t begin,
                                         std::size_t& dimension) const;

  /// Letters of each spelling ("texttovideoalignment", "textalignment") -> dimension.
  std::map<std::string, std::size_t> spellings_;
  std::size_t longest_ = 0;
  std::size_t dimensions_ = 0;
};

}  // namespace bestreel::videoscore2
