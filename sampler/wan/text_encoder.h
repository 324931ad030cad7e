// UMT5's encoder: what the prompt means to the denoiser. Private.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "sampler/wan/config.h"
#include "sampler/wan/layers.h"

namespace bestreel::wan {

/// Immutable after loading: any thread may use it.
class TextEncoder {
 public:
  TextEncoder(const Weights& weights, const TextConfig& config);

  /// ids of one prompt without padding, to (ids, d_model) in the engine's dtype. The reference pads
  /// to 512 and masks the padding, which adds exact zeros: leaving it out is the same and faster.
  at::Tensor encode(const std::vector<std::int64_t>& ids) const;

 private:
  struct Layer {
    at::Tensor norm1, norm2;
    Linear q, k, v, o, gate, up, down;
    at::Tensor bias;  // (buckets, heads)
  };

  at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor buckets(std::int64_t size) const;

  TextConfig config_;
  at::Device device_;
  at::Tensor embedding_, final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace bestreel::wan
