// Scores in an answer that is JSON, or holds a JSON object or list. Private to the library.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "reward/videoscore2/score_lines.h"

namespace bestreel::videoscore2 {

struct JsonScores {
  std::size_t begin = 0, end = 0;  ///< the JSON, in bytes of the text; empty where there is none
  std::vector<ScoreLine> lines;
};

/// The first whole object or list of the text that holds a score: {label: 3}, {label: {"score":
/// 3}},
/// [{"dimension": label, "score": 3}], these inside others. Places are in bytes of the text.
JsonScores json_scores(std::string_view text, const ScoreLineReader& reader);

}  // namespace bestreel::videoscore2
