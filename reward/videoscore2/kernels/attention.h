// Attention of one new token per sequence over that sequence's keys and values. Torch's types stay
// outside: pointers and strides, so that a batch needs neither padding nor one common tensor.
#pragma once

#include <cstdint>
#include <span>

#include "reward/videoscore2/kernels/element.h"

namespace bestreel::videoscore2 {

/// What all sequences of a batch have in common.
struct AttentionShape {
  std::int64_t kv_heads;
  std::int64_t group;   ///< query heads that share a key head
  std::int64_t head;    ///< size of a head
  float scale;          ///< of the products, 1 / sqrt(head)
  Element activations;  ///< of `query` and `out`: kFloat32 or kBFloat16
  Element cache;        ///< of keys and values: kFloat32 or kBFloat16
};

/// `length` consecutive positions of a sequence: keys and values (kv_heads, >= length, head), of
/// which position p of key head h starts at h * stride + p * head elements.
struct KvPart {
  const void* keys;
  const void* values;
  std::int64_t stride;  ///< elements from one key head to the next: capacity * head
  std::int64_t length;
};

/// One sequence with one new token.
struct AttentionRow {
  const void* query;              ///< (kv_heads * group, head), contiguous
  std::span<const KvPart> parts;  ///< in the order of their positions; the new token's is in it
  void* out;                      ///< (kv_heads * group, head), contiguous
};

/// out = softmax(scale * query keys^T) values for every row, summed in float32.
///
/// The bits of a row depend on its query, keys and values alone: not on the other rows, nor on
/// where its parts begin (a forked prefill gives what one cache gives), nor on the thread count.
/// They may differ between instruction sets. Threads: at::parallel_for over rows, key heads and
/// blocks of positions. Each key is read once for the query heads that share it.
void attend(const AttentionShape& shape, std::span<const AttentionRow> rows);

}  // namespace bestreel::videoscore2
