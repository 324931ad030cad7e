// Reading what a VideoScore2 wrote, without guessing. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "reward/videoscore2/profile.h"

namespace bestreel::videoscore2 {

struct ParsedScore {
  std::string dimension;     ///< the profile's name
  std::optional<int> score;  ///< 1..5; nullopt: the final block has no such line
  std::size_t offset = 0;    ///< byte offset of the digit in the text
  /// What the reference reads as the score: its pattern asks for all labels of the profile in
  /// order,
  /// `<label>:\s*(\d+).*?`, anywhere in the text, case ignored. nullopt where that finds nothing.
  std::optional<std::string> first_match;
  /// Where the reference's soft score looks: the first digit, of whatever, after the first
  /// `<label>:` of the text. nullopt where there is none.
  std::optional<char> next_digit;
};

struct ParsedAnswer {
  std::string rationale;  ///< between the first <think> and the last </think>
  bool has_think_end = false;
  std::vector<ParsedScore> scores;   ///< one per dimension of the profile, in its order
  bool complete = false;             ///< every dimension has a score
  bool first_match_differs = false;  ///< `first_match` or `next_digit` is not the score
  std::vector<std::string> remarks;  ///< sentences: what was odd, what is missing
};

/// Anchored: only what follows the last </think> counts. There, a score is a line (or an item of a
/// line) that begins with a dimension's label and holds one number from 1 to 5: `(1) visual
/// quality: 4`, descriptor forms (`(1) visual quality – clarity, smoothness: 3`), bold, `3/5`,
/// quotes, tables, full-width signs, the digit on the next line. The label may lack words as long
/// as it can be no other dimension's. Nothing is guessed: another number, two different scores for
/// one dimension, or a scale other than 5 leave `score` empty and say so in `remarks`. Two
/// exceptions to the anchor, both with a remark: a </think> repeated after a block that stands
/// alone between the two, and, in a text without </think>, a whole numbered block that ends the
/// text.
BESTREEL_API ParsedAnswer parse_answer(std::string_view text, const Profile& profile);

}  // namespace bestreel::videoscore2
