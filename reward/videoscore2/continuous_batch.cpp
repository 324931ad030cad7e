#include "reward/videoscore2/continuous_batch.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "core/nn/device.h"

namespace bestreel::videoscore2 {

ContinuousBatch::ContinuousBatch(std::shared_ptr<const Model> model, const Profile& profile,
                                 std::int64_t slots, const SamplingOptions& sampling)
    : model_(std::move(model)),
      profile_(profile),
      answer_(AnswerTokens::of(model_->tokenizer())),
      digit_ids_(at::tensor(at::ArrayRef<std::int64_t>(answer_.digits), at::kLong)),
      width_(slots),
      sampling_(sampling) {}

void ContinuousBatch::join(ReadingKey key, const Prompt& prompt,
                           const std::vector<std::int64_t>& tokens, std::int64_t budget,
                           std::uint64_t seed) {
  SamplingOptions sampling = sampling_;
  sampling.seed = seed;
  digit_ids_ = digit_ids_.to(prompt.hidden.device());
  const std::int64_t room = answer_room(profile_, budget);
  Slot slot{
      .key = key,
      .begin = prompt.cache->length(),
      .position = prompt.position,
      .writer = std::make_unique<ConstrainedDecoder>(*model_, profile_, answer_, budget, sampling),
      .hidden = prompt.hidden,
      .prompt = tokens};
  if (prompt.hidden.is_cpu())
    slot.sequence = model_->fork(prompt, room);
  else
    take_row(slot, prompt, slot.begin + room);
  slots_.push_back(std::move(slot));
}

// The first row that no other reading has.
void ContinuousBatch::take_row(Slot& slot, const Prompt& prompt, std::int64_t tokens) {
  const std::int64_t capacity = CapturedDecodeStep::capacity_for(tokens);
  std::unique_ptr<CapturedDecodeStep>& step = fixed_[capacity];
  if (!step) step = std::make_unique<CapturedDecodeStep>(model_->language(), width_, capacity);
  slot.fixed = step.get();
  const auto taken = [&] {
    return std::any_of(slots_.begin(), slots_.end(), [&](const Slot& other) {
      return other.fixed == slot.fixed && other.row == slot.row;
    });
  };
  while (taken()) ++slot.row;
  step->join(slot.row, *prompt.cache);
}

void ContinuousBatch::drop(std::uint64_t request) {
  std::erase_if(slots_, [&](const Slot& slot) { return slot.key.request == request; });
}

// Runs one pending token of each slot.
void ContinuousBatch::run_fixed() {
  for (const auto& [capacity, step] : fixed_) {
    std::vector<CapturedDecodeStep::Token> tokens(static_cast<std::size_t>(width_));
    std::vector<Slot*> running;
    for (Slot& slot : slots_) {
      if (slot.fixed != step.get()) continue;
      const auto pending = slot.writer->pending();
      // Of a reading that has just joined a token is put where its first will stand.
      const std::int64_t run = slot.writer->run();
      tokens[static_cast<std::size_t>(slot.row)] = {pending.empty() ? 0 : pending.front(),
                                                    slot.begin + run, slot.position + run};
      if (!pending.empty()) running.push_back(&slot);
    }
    if (running.empty()) continue;
    const at::Tensor& hidden = step->run(tokens);
    for (Slot* slot : running) {
      slot->hidden = hidden.narrow(0, slot->row, 1);
      slot->writer->ran(1);
    }
  }
}

// Runs at least one pending token of each slot.
void ContinuousBatch::run_pending() {
  if (!fixed_.empty()) return run_fixed();
  struct Part {
    Slot* slot;
    std::int64_t rows;
  };
  std::vector<Part> parts;
  std::vector<NextToken> rows;
  std::int64_t spare = kMaxSlots - static_cast<std::int64_t>(slots_.size());
  for (Slot& slot : slots_) {
    slot.sequence->cache.truncate(slot.begin + slot.writer->run());
    const auto pending = slot.writer->pending();
    if (pending.empty()) continue;
    const std::int64_t extra = std::min(spare, static_cast<std::int64_t>(pending.size()) - 1);
    spare -= extra;
    for (std::int64_t i = 0; i <= extra; ++i)
      rows.push_back({&*slot.sequence, pending[static_cast<std::size_t>(i)]});
    parts.push_back({&slot, extra + 1});
  }
  if (rows.empty()) return;
  const at::Tensor hidden = model_->step(rows);
  std::int64_t row = 0;
  for (const Part& part : parts) {
    row += part.rows;
    part.slot->hidden = hidden.narrow(0, row - 1, 1);
    part.slot->writer->ran(part.rows);
  }
}

void ContinuousBatch::mark_seen(Slot& slot) const {
  const std::vector<std::int64_t>& tokens = slot.writer->tokens();
  if (!slot.seen.defined() || slot.marked_forced != slot.writer->forced()) {
    std::vector<std::int64_t> ids = slot.prompt;
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    slot.seen = seen_tokens(ids, model_->config().model.text.vocab_size, slot.hidden.device());
    slot.marked_forced = slot.writer->forced();
  } else {
    for (std::size_t i = slot.marked; i < tokens.size(); ++i) slot.seen[tokens[i]].fill_(true);
  }
  slot.marked = tokens.size();
}

// Everything is computed on the device for all rows; the host reads one small tensor.
std::vector<StepOutcome> ContinuousBatch::choose(const std::vector<Slot*>& choosing) const {
  const GenerationConfig& config = model_->config().generation;
  std::vector<at::Tensor> hidden, seen;
  std::vector<double> draws;
  for (Slot* slot : choosing) {
    hidden.push_back(slot->hidden);
    if (config.repetition_penalty != 1.0) {
      mark_seen(*slot);
      seen.push_back(slot->seen);
    }
    draws.push_back(slot->writer->draw().value_or(0));
  }
  const auto rows = static_cast<std::int64_t>(choosing.size());
  const bool padded = !hidden.front().is_cpu() && rows < width_;
  if (padded) hidden.push_back(at::zeros({width_ - rows, hidden[0].size(1)}, hidden[0].options()));
  const at::Tensor raw = model_->language().logits(at::cat(hidden)).narrow(0, 0, rows);
  const at::Tensor processed =
      process_logits(raw, seen.empty() ? at::Tensor() : at::stack(seen), config, sampling_);
  const at::Tensor tokens = choose_tokens(
      processed,
      sampling_.sample ? nn::upload(at::tensor(draws, at::kDouble), raw.device()) : at::Tensor());
  const auto column = [](const at::Tensor& x) { return x.to(at::kDouble).unsqueeze(1); };
  const at::Tensor host = at::cat({column(tokens), column(at::isfinite(raw).all(1)),
                                   raw.index_select(1, digit_ids_).to(at::kDouble),
                                   processed.index_select(1, digit_ids_).to(at::kDouble)},
                                  1)
                              .cpu();
  std::vector<StepOutcome> out;
  const double* row = host.const_data_ptr<double>();
  for (std::int64_t r = 0; r < rows; ++r, row += host.size(1)) {
    StepOutcome outcome{.finite = row[1] != 0, .token = static_cast<std::int64_t>(row[0])};
    std::copy_n(row + 2, 5, outcome.raw.begin());
    std::copy_n(row + 7, 5, outcome.processed.begin());
    out.push_back(outcome);
  }
  return out;
}

std::vector<ContinuousBatch::Ended> ContinuousBatch::step() {
  std::vector<Ended> ended;
  try {
    run_pending();
    std::vector<Slot*> choosing;
    for (Slot& slot : slots_)
      if (slot.writer->pending().empty()) choosing.push_back(&slot);
    if (choosing.empty()) return ended;
    const std::vector<StepOutcome> outcomes = choose(choosing);
    for (std::size_t i = 0; i < choosing.size(); ++i) {
      Slot& slot = *choosing[i];
      try {
        slot.writer->take(outcomes[i]);
        if (!slot.writer->done()) continue;
        ended.push_back({slot.key, std::move(*slot.writer).finish()});
      } catch (const Error& error) {
        ended.push_back({slot.key, error});
      }
      slot.writer.reset();
    }
    std::erase_if(slots_, [](const Slot& slot) { return !slot.writer; });
  } catch (...) {
    slots_.clear();  // an operator failed half-way: no reading can go on
    throw;
  }
  return ended;
}

}  // namespace bestreel::videoscore2
