#include "reward/videoscore2/reader.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

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

Row to_row(const at::Tensor& five) {
  const at::Tensor host = five.to(at::kCPU, at::kDouble);
  Row row;
  std::copy_n(host.const_data_ptr<double>(), 5, row.begin());
  return row;
}

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

// The growing answer: tokens, their text, the cache behind them and the digits' logits at each.
struct AnswerReader::Writer {
  const Model& model;
  const GenerationConfig& config;
  const SamplingOptions& sampling;
  Sequence& sequence;
  std::int64_t prompt;  // tokens
  std::int64_t prompt_position;
  at::Tensor hidden;     // (1, hidden) of the last token that was run
  at::Tensor digit_ids;  // (5)
  at::Tensor ids;        // (prompt + room): everything that the penalty sees
  at::Tensor log;        // (room, 2, 5): raw and processed digit logits where token i was read
  std::vector<std::int64_t> tokens{};
  std::vector<std::size_t> ends{};  // byte offset in `text` after each token
  std::string text{};
  std::vector<DigitReading> digits{};
  std::vector<std::int64_t> positions{};
  bool forced = false;

  std::int64_t size() const { return static_cast<std::int64_t>(tokens.size()); }
  std::int64_t run() const { return sequence.cache.length() - prompt; }

  void add(std::int64_t token, bool special) {
    ids[prompt + size()].fill_(token);
    tokens.push_back(token);
    if (!special) text += model.tokenizer().token_bytes(token);
    ends.push_back(text.size());
  }

  // Runs what was added since the last run.
  void catch_up() {
    if (run() < size())
      hidden = model.append(ids.narrow(0, prompt + run(), size() - run()), sequence);
  }

  // Forgets all tokens but the first `count`.
  void cut(std::int64_t count) {
    tokens.resize(static_cast<std::size_t>(count));
    ends.resize(static_cast<std::size_t>(count));
    text.resize(count == 0 ? 0 : ends.back());
    if (run() > count) {
      sequence.cache.truncate(prompt + count);
      sequence.position = prompt_position + count;
    }
  }

  // Logits for the next token, processed; notes the digits' share of them.
  at::Tensor next() {
    catch_up();
    const at::Tensor raw = model.language().logits(hidden).squeeze(0);
    const at::Tensor processed =
        process_logits(raw, ids.narrow(0, 0, prompt + size()), config, sampling);
    log[size()][0].copy_(raw.index_select(0, digit_ids));
    log[size()][1].copy_(processed.index_select(0, digit_ids));
    finite = at::isfinite(raw).all();
    return processed;
  }

  // One transfer from the device: the token, and whether the logits were numbers.
  std::int64_t settle(const at::Tensor& choice) const {
    const at::Tensor pair = at::stack({choice, finite.to(at::kLong)}).cpu();
    if (pair.const_data_ptr<std::int64_t>()[1] == 0)
      fail("logits_not_finite", "judge",
           "the model's logits must be numbers but are NaN or infinite: the weights in {} may be "
           "damaged, so compare their checksums or download them again; with --dtype bf16, try "
           "--dtype fp32",
           model.config().folder);
    return pair.const_data_ptr<std::int64_t>()[0];
  }

  Row logged(std::int64_t token, std::int64_t which) const { return to_row(log[token][which]); }

  at::Tensor finite{};
};

AnswerReader::AnswerReader(std::shared_ptr<const Model> model, const Profile& profile)
    : model_(std::move(model)), profile_(profile), answer_(AnswerTokens::of(model_->tokenizer())) {}

std::int64_t AnswerReader::room(std::int64_t budget) const {
  std::string block = profile_.think_end;
  for (const std::string& prefix : profile_.forced_prefix) block += prefix + "5";
  // A token is at least one byte.
  return budget + kAnswerRoom + static_cast<std::int64_t>(block.size());
}

Reading AnswerReader::read(const std::vector<std::int64_t>& prompt, const at::Tensor& hidden,
                           Sequence& sequence, std::int64_t budget, const SamplingOptions& sampling,
                           const std::function<void()>& check) const {
  const auto device = hidden.device();
  const auto size = static_cast<std::int64_t>(prompt.size());
  const auto longs = at::TensorOptions().dtype(at::kLong).device(device);
  Writer w{
      .model = *model_,
      .config = model_->config().generation,
      .sampling = sampling,
      .sequence = sequence,
      .prompt = size,
      .prompt_position = sequence.position,
      .hidden = hidden,
      .digit_ids = at::tensor(at::ArrayRef<std::int64_t>(answer_.digits), at::kLong).to(device),
      .ids = at::empty({size + room(budget)}, longs),
      .log = at::empty({room(budget), 2, 5}, longs.dtype(at::kFloat))};
  w.ids.narrow(0, 0, size).copy_(at::tensor(prompt, at::kLong));

  const auto& stops = model_->ends();
  bool ended = false;
  std::int64_t answer_begin = -1;  // tokens when </think> was complete
  while (!ended && (answer_begin < 0 ? w.size() < budget : w.size() - answer_begin < kAnswerRoom)) {
    if (check) check();
    const std::int64_t token =
        w.settle(choose_token(w.next(), sampling, static_cast<std::uint64_t>(w.size())));
    ended = std::find(stops.begin(), stops.end(), token) != stops.end();
    const std::size_t before = w.text.size();
    w.add(token, ended);
    const std::size_t from = before - std::min(before, profile_.think_end.size());
    if (answer_begin < 0 && w.text.find(profile_.think_end, from) != std::string::npos)
      answer_begin = w.size();
  }

  if (!ended || !finish_free(w)) force(w);
  return {std::move(w.digits), std::move(w.tokens), std::move(w.positions), std::move(w.text),
          w.forced};
}

bool AnswerReader::finish_free(Writer& w) const {
  const ParsedAnswer parsed = parse_answer(w.text, profile_);
  if (!parsed.complete) return false;
  std::vector<std::int64_t> positions;
  for (const ParsedScore& score : parsed.scores) {
    // The token whose bytes hold the digit: the first that ends after it.
    const auto token =
        std::upper_bound(w.ends.begin(), w.ends.end(), score.offset) - w.ends.begin();
    if (*score.score < 1 || *score.score > 5) return false;
    const std::int64_t digit = answer_.digits[static_cast<std::size_t>(*score.score - 1)];
    if (token >= w.size() || w.tokens[static_cast<std::size_t>(token)] != digit) return false;
    positions.push_back(token);
  }
  for (std::size_t i = 0; i < positions.size(); ++i)
    w.digits.push_back(digit_reading(*parsed.scores[i].score, w.logged(positions[i], 0),
                                     w.logged(positions[i], 1)));
  w.positions = std::move(positions);
  return true;
}

void AnswerReader::force(Writer& w) const {
  w.forced = true;
  const std::string& mark = profile_.think_end;
  std::string block = profile_.forced_prefix.at(0);
  const std::size_t found = w.text.rfind(mark);
  if (found == std::string::npos) {
    while (w.size() > 0 && std::find(model_->ends().begin(), model_->ends().end(),
                                     w.tokens.back()) != model_->ends().end())
      w.cut(w.size() - 1);
    block = (mark + block).substr(begun(w.text, mark));
  } else {
    // What follows </think> stays as far as it is how the block begins.
    const std::size_t answer = found + mark.size();
    const auto tail = [&](std::int64_t tokens) {
      return std::string_view(w.text).substr(answer,
                                             w.ends[static_cast<std::size_t>(tokens - 1)] - answer);
    };
    std::int64_t keep = std::lower_bound(w.ends.begin(), w.ends.end(), answer) - w.ends.begin() + 1;
    const auto agrees = [&](std::int64_t tokens) {
      return tail(tokens).size() < block.size() && block.starts_with(tail(tokens)) &&
             std::find(model_->ends().begin(), model_->ends().end(),
                       w.tokens[static_cast<std::size_t>(tokens - 1)]) == model_->ends().end();
    };
    while (keep < w.size() && agrees(keep + 1)) ++keep;
    if (agrees(keep)) block = block.substr(tail(keep).size());
    w.cut(keep);
  }

  for (std::size_t i = 0; i < profile_.dimensions.size(); ++i) {
    for (const std::int64_t token :
         model_->tokenizer().encode(i == 0 ? block : profile_.forced_prefix.at(i)))
      w.add(token, false);
    const at::Tensor processed = w.next().index_select(0, w.digit_ids);
    // Where top_k left no digit, the model's own logits decide.
    const Row row = to_row(processed);
    const bool none =
        std::none_of(row.begin(), row.end(), [](double x) { return std::isfinite(x); });
    const at::Tensor five = none ? w.log[w.size()][0] : processed;
    const std::int64_t digit =
        w.settle(choose_token(five, w.sampling, static_cast<std::uint64_t>(w.size())));
    w.positions.push_back(w.size());
    w.digits.push_back(
        digit_reading(static_cast<int>(digit) + 1, w.logged(w.size(), 0), w.logged(w.size(), 1)));
    w.add(answer_.digits[static_cast<std::size_t>(digit)], false);
  }
}

}  // namespace bestreel::videoscore2
