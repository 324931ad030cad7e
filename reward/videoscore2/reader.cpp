#include "reward/videoscore2/reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "core/base/fail.h"
#include "reward/videoscore2/answer.h"

namespace bestreel::videoscore2 {
namespace {

// Tokens that an answer may take between </think> and its end before it counts as malformed: the
// block itself is 30 to 40, descriptors after the labels as much again.
constexpr std::int64_t kAnswerRoom = 128;

using Row = std::array<double, 5>;

// nullopt: every digit is at -infinity.
std::optional<Row> softmax(const Row& logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  if (!std::isfinite(most)) return std::nullopt;
  Row p;
  double sum = 0;
  for (std::size_t i = 0; i < 5; ++i) sum += p[i] = std::exp(logits[i] - most);
  for (double& x : p) x /= sum;
  return p;
}

DigitReading digit_reading(int score, const Row& raw, const Row& processed) {
  DigitReading out;
  out.score = score;
  out.probabilities = softmax(raw).value();
  for (std::size_t i = 0; i < 5; ++i)
    out.expected += static_cast<double>(i + 1) * out.probabilities[i];
  if (const auto p = softmax(processed)) {
    const auto best = std::max_element(p->begin(), p->end());
    out.reference_soft = static_cast<double>(best - p->begin() + 1) * *best;
  }
  return out;
}

// How many bytes at the end of `text` begin `mark` without completing it.
std::size_t begun(std::string_view text, std::string_view mark) {
  for (std::size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n)
    if (text.ends_with(mark.substr(0, n))) return n;
  return 0;
}

}  // namespace

AnswerTokens AnswerTokens::of(const Tokenizer& tokenizer) {
  AnswerTokens out;
  for (int digit = 1; digit <= 5; ++digit) {
    const auto ids = tokenizer.encode_plain(std::to_string(digit));
    if (ids.size() != 1)
      fail(
          "tokenizer_unsuitable", "checkpoint",
          "tokenizer.json must encode \"{}\" as one token but makes {} of it: scores are read from "
          "the distribution over the digits, so pass a checkpoint of the Qwen2.5 family",
          digit, ids.size());
    out.digits[static_cast<std::size_t>(digit - 1)] = ids[0];
  }
  return out;
}

std::int64_t answer_room(const Profile& profile, std::int64_t budget) {
  std::string block = profile.think_end;
  for (const std::string& prefix : profile.forced_prefix) block += prefix + "5";
  // A token is at least one byte.
  return budget + kAnswerRoom + static_cast<std::int64_t>(block.size());
}

ConstrainedDecoder::ConstrainedDecoder(const Model& model, const Profile& profile,
                                       const AnswerTokens& answer, std::int64_t budget,
                                       const SamplingOptions& sampling)
    : model_(model), profile_(profile), answer_(answer), budget_(budget), sampling_(sampling) {
  if (budget == 0) force();
}

std::span<const std::int64_t> ConstrainedDecoder::pending() const {
  return std::span(sample_.tokens).subspan(static_cast<std::size_t>(run_));
}

std::optional<double> ConstrainedDecoder::draw() const {
  if (!sampling_.sample) return std::nullopt;
  return uniform(sampling_.seed, static_cast<std::uint64_t>(size()));
}

bool ConstrainedDecoder::ends(std::int64_t token) const {
  const auto& ends = model_.ends();
  return std::find(ends.begin(), ends.end(), token) != ends.end();
}

void ConstrainedDecoder::add(std::int64_t token, bool special) {
  sample_.tokens.push_back(token);
  if (!special) sample_.text += model_.tokenizer().token_bytes(token);
  text_ends_.push_back(sample_.text.size());
  log_.resize(sample_.tokens.size());
}

// Forgets all tokens but the first `count`.
void ConstrainedDecoder::cut(std::int64_t count) {
  const auto kept = static_cast<std::size_t>(count);
  sample_.tokens.resize(kept);
  text_ends_.resize(kept);
  log_.resize(kept);
  sample_.text.resize(count == 0 ? 0 : text_ends_.back());
  run_ = std::min(run_, count);
}

void ConstrainedDecoder::take(const StepOutcome& outcome) {
  if (!outcome.finite)
    fail("logits_not_finite", "judge",
         "the model's logits must be numbers but are NaN or infinite: the weights in {} may be "
         "damaged, so compare their checksums or download them again; with --dtype bf16, try "
         "--dtype fp32",
         model_.config().folder);
  log_.push_back({outcome.raw, outcome.processed});
  if (forced())
    take_digit(outcome);
  else
    take_free(outcome.token);
}

void ConstrainedDecoder::take_free(std::int64_t token) {
  const bool ended = ends(token);
  const std::size_t before = sample_.text.size();
  add(token, ended);
  const std::string& mark = profile_.think_end;
  const std::size_t from = before - std::min(before, mark.size());
  if (answer_begin_ < 0 && sample_.text.find(mark, from) != std::string::npos)
    answer_begin_ = size();
  const bool spent = answer_begin_ < 0 ? size() >= budget_ : size() - answer_begin_ >= kAnswerRoom;
  if (ended && finish_free())
    done_ = true;
  else if (ended || spent)
    force();
}

bool ConstrainedDecoder::finish_free() {
  const ParsedAnswer parsed = parse_answer(sample_.text, profile_);
  if (!parsed.complete) return false;
  std::vector<std::int64_t> positions;
  for (const ParsedScore& score : parsed.scores) {
    // The token whose bytes hold the digit: the first that ends after it.
    const auto token =
        std::upper_bound(text_ends_.begin(), text_ends_.end(), score.offset) - text_ends_.begin();
    if (*score.score < 1 || *score.score > 5) return false;
    const std::int64_t digit = answer_.digits[static_cast<std::size_t>(*score.score - 1)];
    if (token >= size() || sample_.tokens[static_cast<std::size_t>(token)] != digit) return false;
    positions.push_back(token);
  }
  for (std::size_t i = 0; i < positions.size(); ++i)
    sample_.digits.push_back(digit_reading(*parsed.scores[i].score,
                                           log_[static_cast<std::size_t>(positions[i])].raw,
                                           log_[static_cast<std::size_t>(positions[i])].processed));
  sample_.digit_positions = std::move(positions);
  return true;
}

void ConstrainedDecoder::force() {
  sample_.forced = true;
  const std::string& mark = profile_.think_end;
  std::string block = profile_.forced_prefix.at(0);
  const std::size_t found = sample_.text.rfind(mark);
  if (found == std::string::npos) {
    while (size() > 0 && ends(sample_.tokens.back())) cut(size() - 1);
    block = (mark + block).substr(begun(sample_.text, mark));
  } else {
    // What follows </think> stays as far as it is how the block begins.
    const std::size_t answer = found + mark.size();
    const auto tail = [&](std::int64_t tokens) {
      return std::string_view(sample_.text)
          .substr(answer, text_ends_[static_cast<std::size_t>(tokens - 1)] - answer);
    };
    std::int64_t keep =
        std::lower_bound(text_ends_.begin(), text_ends_.end(), answer) - text_ends_.begin() + 1;
    const auto agrees = [&](std::int64_t tokens) {
      return tail(tokens).size() < block.size() && block.starts_with(tail(tokens)) &&
             !ends(sample_.tokens[static_cast<std::size_t>(tokens - 1)]);
    };
    while (keep < size() && agrees(keep + 1)) ++keep;
    if (agrees(keep)) block = block.substr(tail(keep).size());
    cut(keep);
  }

  add_label(block);
}

void ConstrainedDecoder::add_label(const std::string& label) {
  for (const std::int64_t token : model_.tokenizer().encode(label)) add(token, false);
}

void ConstrainedDecoder::take_digit(const StepOutcome& outcome) {
  // Where top_k left no digit, the model's own logits decide.
  const bool none = std::none_of(outcome.processed.begin(), outcome.processed.end(),
                                 [](double x) { return std::isfinite(x); });
  const std::size_t digit = choose_one(none ? outcome.raw : outcome.processed, draw());
  sample_.digit_positions.push_back(size());
  sample_.digits.push_back(
      digit_reading(static_cast<int>(digit) + 1, outcome.raw, outcome.processed));
  add(answer_.digits[digit], false);
  const std::size_t next = sample_.digits.size();
  if (next == profile_.dimensions.size())
    done_ = true;
  else
    add_label(profile_.forced_prefix.at(next));
}

}  // namespace bestreel::videoscore2
