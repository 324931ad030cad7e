// The vision tower of Qwen2.5-VL: patches to the decoder's embeddings.
//
// Note [Attention by segment]: attention in the tower never crosses a window, nor a temporal patch
// in the "full" blocks. So it is computed segment by segment; an additive mask over all patches
// would cost S x S memory (the reference's choice without flash attention) and lost accuracy in
// transformers #37363. It also makes frames independent: long videos go through in chunks of
// frames, and activations do not grow with the video's length.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "reward/videoscore2/config.h"
#include "reward/videoscore2/linear.h"
#include "reward/videoscore2/positions.h"
#include "reward/videoscore2/rotary.h"

namespace bestreel::videoscore2 {

class VisionModel {
 public:
  VisionModel(const Weights& weights, const VisionConfig& config);

  /// (t*h*w, 3*tp*patch*patch) float32 to (t*h*w/merge^2, out_hidden_size) in the activations'
  /// dtype. `check` is called between chunks of frames and may throw Cancelled.
  at::Tensor operator()(const at::Tensor& patches, const Grid& grid,
                        const std::function<void()>& check = {}) const;

 private:
  struct Block {
    RmsNorm norm1, norm2;
    Linear qkv, proj, gate, up, down;
    bool full;
  };

  at::Tensor chunk(const at::Tensor& patches, std::int64_t frames, const WindowLayout& layout,
                   const at::Tensor& order, const Rope& rope) const;
  at::Tensor attention(const Block& block, const at::Tensor& x, std::int64_t frames,
                       const WindowLayout& layout, const Rope& rope) const;
  Rope make_rope(std::int64_t grid_h, std::int64_t grid_w, const WindowLayout& layout,
                 at::Device device) const;

  VisionConfig config_;
  at::ScalarType activations_;
  Linear embed_;
  std::vector<Block> blocks_;
  RmsNorm merger_norm_;
  Linear merger_in_, merger_out_;
};

}  // namespace bestreel::videoscore2
