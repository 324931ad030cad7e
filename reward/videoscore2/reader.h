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
#include <optional>
#include <span>
#include <string>
#include <utility>
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

struct JudgeSample {
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

/// What a decode step brings back of one reading.
struct StepOutcome {
  bool finite = false;                       ///< every logit is a number
  std::int64_t token = 0;                    ///< chosen among the whole vocabulary
  std::array<double, 5> raw{}, processed{};  ///< logits of the five digits
};

/// One reading as it grows: a state machine without tensors, so that many samples can share a
/// decode step. Each step the owner runs pending(), and once nothing of it is left hands the
/// outcome over the next token to take(), until done().
class ConstrainedDecoder {
 public:
  /// `budget`: tokens until </think>; 0 asks for the scores at once. All references outlive it.
  ConstrainedDecoder(const Model& model, const Profile& profile, const AnswerTokens& answer,
                     std::int64_t budget, const SamplingOptions& sampling);

  /// Tokens of the answer that the model must run before the next one is chosen. At the very start
  /// there may be none: the prompt's own last hidden state is what the first token is chosen from.
  std::span<const std::int64_t> pending() const;
  /// Tokens of the answer that have been run; when the answer is cut back, fewer than before.
  std::int64_t run() const { return run_; }
  void ran(std::int64_t count) { run_ += count; }

  /// Tokens of the answer so far.
  const std::vector<std::int64_t>& tokens() const { return sample_.tokens; }
  /// The final block is being written for the model. Where this turns true the answer was cut back;
  /// otherwise it only grows.
  bool forced() const { return sample_.forced; }
  /// The number in [0, 1) that decides the next token; nullopt: greedy.
  std::optional<double> draw() const;

  /// Error "logits_not_finite": weights or input hold values that are not numbers.
  void take(const StepOutcome& outcome);
  bool done() const { return done_; }
  JudgeSample finish() && { return std::move(sample_); }

 private:
  struct Logged {
    std::array<double, 5> raw, processed;
  };

  std::int64_t size() const { return static_cast<std::int64_t>(sample_.tokens.size()); }
  bool ends(std::int64_t token) const;
  void add(std::int64_t token, bool special);
  void cut(std::int64_t count);
  void take_free(std::int64_t token);
  void take_digit(const StepOutcome& outcome);
  bool finish_free();
  void force();
  void add_label(const std::string& label);

  const Model& model_;
  const Profile& profile_;
  const AnswerTokens& answer_;
  std::int64_t budget_;
  SamplingOptions sampling_;
  JudgeSample sample_;
  std::vector<std::size_t> text_ends_;  // byte offset in the text after each token
  std::vector<Logged> log_;             // the digits' logits where each token was chosen
  std::int64_t run_ = 0;
  std::int64_t answer_begin_ = -1;  // tokens when </think> was complete
  bool done_ = false;
};

/// Tokens that one reading may add to the prompt: the capacity that its cache needs.
std::int64_t answer_room(const Profile& profile, std::int64_t budget);

}  // namespace bestreel::videoscore2
