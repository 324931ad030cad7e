// From logits to the next token: the processors of transformers' generate(), and a seeded draw.
// Pure functions on any device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "reward/videoscore2/config.h"

namespace bestreel::videoscore2 {

struct SamplingOptions {
  bool sample = false;  ///< false: greedy; then only the repetition penalty acts
  double temperature = 1.0;
  std::uint64_t seed = 0;
};

/// (V) float32 divided by `penalty` where positive and multiplied where negative, once for each id
/// in `ids` (n) int64, which are those of the prompt and of what was generated.
at::Tensor repetition_penalty(const at::Tensor& logits, const at::Tensor& ids, double penalty);

/// All but the `k` largest become -infinity; ties with the k-th stay.
at::Tensor keep_top_k(const at::Tensor& logits, std::int64_t k);

/// The fewest largest whose probabilities reach `p`; the rest become -infinity.
at::Tensor keep_top_p(const at::Tensor& logits, double p);

/// The chain of the checkpoint's own settings, in the reference's order: repetition penalty,
/// temperature, top_k, top_p; the last three only when sampling. The temperature is the option's,
/// which by default is the file's.
at::Tensor process_logits(const at::Tensor& logits, const at::Tensor& ids,
                          const GenerationConfig& config, const SamplingOptions& options);

/// The next token, a scalar int64 on the logits' device. Greedy: the largest logit. Sampling: drawn
/// from the softmax by the inverse of its cumulative sum at uniform(seed, step).
at::Tensor choose_token(const at::Tensor& processed, const SamplingOptions& options,
                        std::uint64_t step);

/// A number in [0, 1) that depends on its arguments alone (SplitMix64), so that a draw does not
/// depend on what was drawn before.
double uniform(std::uint64_t seed, std::uint64_t step);

}  // namespace bestreel::videoscore2
