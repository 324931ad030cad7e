// From logits to the next token: the processors of transformers' generate(), and a seeded draw.
// Pure functions on any device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "reward/videoscore2/config.h"

namespace bestreel::videoscore2 {

struct SamplingOptions {
  bool sample = false;  ///< false: greedy; then only the repetition penalty acts
  double temperature = 1.0;
  std::uint64_t seed = 0;
};

/// Which of `vocabulary` tokens occur in `ids`: (vocabulary) bool on `device`.
at::Tensor seen_tokens(const std::vector<std::int64_t>& ids, std::int64_t vocabulary,
                       at::Device device);

// All of these take rows (R, V) float32, one a sequence; what a row becomes does not depend on the
// others.

/// Divided by `penalty` where positive and multiplied where negative, for the tokens that `seen`
/// (R, V) bool marks: those of the prompt and of what was generated.
at::Tensor repetition_penalty(const at::Tensor& logits, const at::Tensor& seen, double penalty);

/// All but the `k` largest become -infinity; ties with the k-th stay.
at::Tensor keep_top_k(const at::Tensor& logits, std::int64_t k);

/// The fewest largest whose probabilities reach `p`; the rest become -infinity.
at::Tensor keep_top_p(const at::Tensor& logits, double p);

/// The chain of the checkpoint's own settings, in the reference's order: repetition penalty,
/// temperature, top_k, top_p; the last three only when sampling. The temperature is the option's,
/// which by default is the file's. `seen` may be undefined where there is no penalty.
at::Tensor process_logits(const at::Tensor& logits, const at::Tensor& seen,
                          const GenerationConfig& config, const SamplingOptions& options);

/// The next tokens (R) int64 on the logits' device. Without `draws`: the largest logit. With them,
/// (R) float64 in [0, 1): drawn from the softmax by the inverse of its cumulative sum.
at::Tensor choose_tokens(const at::Tensor& processed, const at::Tensor& draws);

/// The same for a few logits on the host, an index; -infinity is never chosen.
std::size_t choose_one(std::span<const double> processed, std::optional<double> draw);

/// A number in [0, 1) that depends on its arguments alone (SplitMix64), so that a draw does not
/// depend on what was drawn before.
double uniform(std::uint64_t seed, std::uint64_t step);

}  // namespace bestreel::videoscore2
