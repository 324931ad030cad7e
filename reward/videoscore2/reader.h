// One reading of one video: what the model writes, and the digits' distributions in it.
//
// Note [A judge always answers]: the model writes freely. If it ends by itself with a complete
// final block, each digit's distribution is the one it was chosen from. In every other case (the
// token budget is spent, the block is missing or malformed) the text is cut back to what agrees
// with the profile's final block, </think> is added if it is missing, and the block is written for
// the model, label by label; each digit is read from its distribution over 1..5 and appended before
// the next label, since the second digit depends on the first. `forced` says that this was done.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reward/videoscore2/model.h"
#include "reward/videoscore2/profile.h"
#include "reward/videoscore2/sampling.h"

namespace bestreel::videoscore2 {

struct DigitReading {
  int score = 0;  ///< the digit that stands in the text
  /// softmax over the five digits of the model's own logits, at temperature 1 and without
  /// processors: the model's opinion, independent of how text is sampled.
  std::array<double, 5> probabilities{};
  double expected = 0;  ///< sum of s p(s)
  /// The published formula, best digit x p(best) / sum p(1..5), where p is a softmax over the whole
  /// vocabulary of the processed logits, and best is the digit that stands in the text. nullopt:
  /// the processors gave every digit probability zero.
  std::optional<double> reference_soft;
};

struct Reading {
  std::vector<DigitReading> digits;           ///< one per dimension of the profile
  std::vector<std::int64_t> tokens;           ///< output ids, end token and forced block included
  std::vector<std::int64_t> digit_positions;  ///< indices into `tokens`
  std::string text;                           ///< bytes of `tokens` without special ones
  bool forced = false;
};

/// Ids that a profile needs; made once a model.
struct AnswerTokens {
  std::array<std::int64_t, 5> digits;  ///< "1".."5"
  /// Error "tokenizer_unsuitable": a digit is not one token.
  static AnswerTokens of(const Tokenizer& tokenizer);
};

class AnswerReader {
 public:
  AnswerReader(std::shared_ptr<const Model> model, const Profile& profile);

  /// Tokens that one reading may add to the prompt: the capacity that its cache needs.
  std::int64_t room(std::int64_t budget) const;

  /// `hidden`: the last hidden state of the prefill (1, hidden), whose tokens are all that
  /// `sequence` holds. Leaves `sequence` longer; the caller truncates. `budget`: tokens until
  /// </think>; 0 asks for the scores at once. `check` may throw Cancelled.
  /// Error "logits_not_finite": weights or input hold values that are not numbers.
  Reading read(const std::vector<std::int64_t>& prompt, const at::Tensor& hidden,
               Sequence& sequence, std::int64_t budget, const SamplingOptions& sampling,
               const std::function<void()>& check = {}) const;

 private:
  struct Writer;

  bool finish_free(Writer& writer) const;
  void force(Writer& writer) const;

  std::shared_ptr<const Model> model_;
  const Profile& profile_;
  AnswerTokens answer_;
};

}  // namespace bestreel::videoscore2
