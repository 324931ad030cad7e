// Continuous batching: the samples of many videos, decoded together.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "reward/videoscore2/captured_decode_step.h"
#include "reward/videoscore2/kernels/skinny_gemm.h"
#include "reward/videoscore2/model.h"
#include "reward/videoscore2/profile.h"
#include "reward/videoscore2/reader.h"
#include "reward/videoscore2/sampling.h"

namespace bestreel::videoscore2 {

/// The most samples that one decode batch may hold: a step runs at least a token of each, and has
/// no more rows than projections sum in a fixed order.
inline constexpr std::int64_t kMaxSlots = kSkinnyGemm;

/// Which reading of which request.
struct ReadingKey {
  std::uint64_t request;
  int sample;
};

/// A running batch with a fixed number of slots. A reading joins whenever a slot is free and leaves
/// when it ends; its cache goes with it. A reading is the same, bit for bit, whatever shares the
/// batch (Note [A row is alone]), and one that fails takes nobody along.
///
/// On the CPU a step runs all the tokens that are known of a reading (a label of the forced block),
/// elsewhere one of each: see Note [One shape].
///
/// The host waits for the device once a step: for the chosen tokens and the digits' logits.
class ContinuousBatch {
 public:
  struct Ended {
    ReadingKey key;
    std::variant<JudgeSample, Error> outcome;
  };

  /// `slots`: 1 to kMaxSlots. `sampling`: of every reading, but for the seed.
  ContinuousBatch(std::shared_ptr<const Model> model, const Profile& profile, std::int64_t slots,
                  const SamplingOptions& sampling);
  ContinuousBatch(const ContinuousBatch&) = delete;
  ContinuousBatch& operator=(const ContinuousBatch&) = delete;

  std::int64_t free() const { return width_ - static_cast<std::int64_t>(slots_.size()); }
  bool empty() const { return slots_.empty(); }

  /// A slot must be free. `tokens`: the ids that `prompt` ran.
  void join(ReadingKey key, const Prompt& prompt, const std::vector<std::int64_t>& tokens,
            std::int64_t budget, std::uint64_t seed);

  /// Takes a request's samples out, those that are there.
  void drop(std::uint64_t request);

  /// One step of every reading; returns those that ended. After an exception all are gone.
  std::vector<Ended> step();

 private:
  struct Slot {
    ReadingKey key;
    std::int64_t begin;                   // tokens of the prompt
    std::int64_t position;                // rotary, of the first token after it
    std::optional<Sequence> sequence;     // on the CPU
    CapturedDecodeStep* fixed = nullptr;  // elsewhere, and the row in it
    std::int64_t row = 0;
    std::unique_ptr<ConstrainedDecoder> writer;
    at::Tensor hidden;                 // (1, hidden) of the last token that was run
    std::vector<std::int64_t> prompt;  // ids, kept for `seen`
    at::Tensor seen{};                 // (vocabulary) bool: what the repetition penalty sees
    std::size_t marked = 0;            // tokens of the answer that are in `seen`
    bool marked_forced = false;
  };

  void run_pending();
  void run_fixed();
  void take_row(Slot& slot, const Prompt& prompt, std::int64_t tokens);
  std::vector<StepOutcome> choose(const std::vector<Slot*>& choosing) const;
  void mark_seen(Slot& slot) const;

  std::shared_ptr<const Model> model_;
  const Profile& profile_;
  AnswerTokens answer_;
  at::Tensor digit_ids_;  // (5)
  std::int64_t width_;
  SamplingOptions sampling_;
  std::vector<Slot> slots_;
  // By capacity, each with a row for every slot.
  std::map<std::int64_t, std::unique_ptr<CapturedDecodeStep>> fixed_;
};

}  // namespace bestreel::videoscore2
