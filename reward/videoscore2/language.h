// The decoder of Qwen2.5-VL: grouped-query attention with 3-D rotary positions and a KV cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "reward/videoscore2/config.h"
#include "reward/videoscore2/linear.h"
#include "reward/videoscore2/rotary.h"

namespace bestreel::videoscore2 {

/// Bytes of the keys and values of `tokens` tokens. A reading holds those of its prompt, which the
/// samples of one video share on the CPU, and of AnswerReader::room() tokens; on the CPU memory
/// that no token has reached yet is reserved, not resident.
std::int64_t kv_bytes(const TextConfig& config, std::int64_t tokens, at::ScalarType dtype);

/// Keys and values of one sequence, one pair of (kv_heads, capacity, head) tensors a layer.
class KvCache {
 public:
  KvCache(const TextConfig& config, std::int64_t capacity, at::TensorOptions options);

  /// An empty continuation of `prefix` with room for `capacity` tokens more. On the CPU the prefix
  /// is shared; elsewhere it is copied, since the library's attention wants one tensor. The prefix
  /// may no longer be written.
  static KvCache fork(std::shared_ptr<const KvCache> prefix, std::int64_t capacity);

  std::int64_t length() const { return stem_length() + length_; }
  /// Forgets all but the first `length` tokens, which are at least the shared ones.
  void truncate(std::int64_t length) { length_ = length - stem_length(); }

 private:
  friend class LanguageModel;
  friend class CapturedDecodeStep;
  KvCache() = default;
  std::int64_t stem_length() const { return prefix_ ? prefix_->length_ : 0; }

  std::shared_ptr<const KvCache> prefix_;  // has no prefix of its own
  std::vector<at::Tensor> keys_, values_;
  std::int64_t length_ = 0;  // without the prefix's
};

/// One token of a decode step: it is appended to `cache` and turned by `rope` (1, head/2).
struct DecodeRow {
  KvCache* cache;
  Rope rope;
};

/// Note [A row is alone]: a decode step runs the tokens of many sequences in one pass over the
/// weights, and yet each row has the bits that it would have alone (P1). On the CPU projections and
/// attention are kernels that sum each output in a fixed order; a library's product would not do,
/// not even row by row, since its bits depend on how its operands are aligned. What libtorch
/// vectorises goes row by row where the scalar tail of a loop has other bits than its body (SiLU;
/// the rotation is a table made once a sequence). Additions, products, roots and conversions are
/// exact or rounded once either way. On other devices see Note [One shape].
class LanguageModel {
 public:
  LanguageModel(const Weights& weights, const TextConfig& config);

  /// (n) int64 to (n, hidden) in the activations' dtype.
  at::Tensor embed(const at::Tensor& ids) const;

  /// Runs a whole prompt into an empty cache. `embeddings` (n, hidden), `positions` (3, n) int64.
  /// Returns the normalised hidden states of all of them (n, hidden) or, with `last_only`, of the
  /// last (1, hidden): the last layer then computes no more than it needs.
  /// `check` is called between layers and may throw Cancelled.
  at::Tensor prefill(const at::Tensor& embeddings, const at::Tensor& positions, KvCache& cache,
                     bool last_only, const std::function<void()>& check = {}) const;

  /// Appends one token a row; rows of one cache stand in the order of their tokens. `embeddings`
  /// (n, hidden) with n at least rows.size(): rows beyond are padding. Returns the normalised
  /// hidden states (n, hidden). See Note [A row is alone].
  at::Tensor decode(const at::Tensor& embeddings, std::span<const DecodeRow> rows) const;

  /// Of `count` text tokens from `first` on: (count, 1, head/2).
  Rope make_rope(std::int64_t first, std::int64_t count) const;

  /// (n, hidden) to (n, vocabulary) float32.
  at::Tensor logits(const at::Tensor& hidden) const;

 private:
  friend class CapturedDecodeStep;
  struct Layer {
    RmsNorm attention_norm, mlp_norm;
    Linear q, k, v, o, gate, up, down;
  };

  Rope make_rope(const at::Tensor& positions) const;
  at::Tensor prompt_attention(const Layer& layer, const at::Tensor& x, const Rope& rope,
                              at::Tensor& keys, at::Tensor& values, std::int64_t queries) const;
  at::Tensor decode_attention(std::size_t layer, const at::Tensor& q, const at::Tensor& k,
                              const at::Tensor& v, std::span<const DecodeRow> rows) const;
  void attend_on_cpu(std::size_t layer, const at::Tensor& q, at::Tensor& out,
                     std::span<const DecodeRow> rows, std::span<const std::int64_t> places) const;

  TextConfig config_;
  at::ScalarType activations_;
  at::Tensor embedding_;
  at::Tensor frequency_;  // (head/2) float32
  std::vector<Layer> layers_;
  RmsNorm norm_;
  Linear head_;
};

}  // namespace bestreel::videoscore2
