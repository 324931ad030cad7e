// The decoder of Qwen2.5-VL: grouped-query attention with 3-D rotary positions and a KV cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "reward/videoscore2/config.h"
#include "reward/videoscore2/linear.h"
#include "reward/videoscore2/rotary.h"

namespace bestreel::videoscore2 {

/// Keys and values of one sequence, one pair of (kv_heads, capacity, head) tensors a layer.
/// Truncating forgets the tail, so that several readings share one prefill.
class KvCache {
 public:
  KvCache(const TextConfig& config, std::int64_t capacity, at::TensorOptions options);

  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  void truncate(std::int64_t length) { length_ = length; }

 private:
  friend class LanguageModel;
  std::vector<at::Tensor> keys_, values_;
  std::int64_t capacity_;
  std::int64_t length_ = 0;
};

class LanguageModel {
 public:
  LanguageModel(const Weights& weights, const TextConfig& config);

  /// (n) int64 to (n, hidden) in the activations' dtype.
  at::Tensor embed(const at::Tensor& ids) const;

  /// Appends n tokens to the cache. `embeddings` (n, hidden), `positions` (3, n) int64. Returns the
  /// normalised hidden states of all of them (n, hidden) or, with `last_only`, of the last
  /// (1, hidden): the last layer then computes no more than it needs.
  /// `check` is called between layers and may throw Cancelled.
  at::Tensor forward(const at::Tensor& embeddings, const at::Tensor& positions, KvCache& cache,
                     bool last_only, const std::function<void()>& check = {}) const;

  /// (n, hidden) to (n, vocabulary) float32.
  at::Tensor logits(const at::Tensor& hidden) const;

 private:
  struct Layer {
    RmsNorm attention_norm, mlp_norm;
    Linear q, k, v, o, gate, up, down;
  };

  Rotation rotation(const at::Tensor& positions) const;
  at::Tensor attention(const Layer& layer, const at::Tensor& x, const Rotation& turn,
                       at::Tensor& keys, at::Tensor& values, std::int64_t past,
                       std::int64_t queries) const;

  TextConfig config_;
  at::ScalarType activations_;
  at::Tensor embedding_;
  at::Tensor frequency_;  // (head/2) float32
  std::vector<Layer> layers_;
  RmsNorm norm_;
  Linear head_;
};

}  // namespace bestreel::videoscore2
