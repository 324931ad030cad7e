// What attention.cpp and its instruction sets share.
#pragma once

#include <cstdint>

#include "reward/videoscore2/kernels/attention.h"

namespace bestreel::videoscore2::attention_detail {

/// Positions that are summed together. Blocks lie at multiples of it, whatever the parts.
constexpr std::int64_t kBlock = 256;

/// Greatest size of a head.
constexpr std::int64_t kMaxHead = 512;

/// One block of positions of one sequence, for one key head and the query heads that share it.
struct Block {
  const AttentionShape* shape;
  const AttentionRow* row;
  std::int64_t kv_head;
  std::int64_t begin, end;  ///< positions
  const float* queries;     ///< (group, padded), scaled, zeros behind the head
  std::int64_t padded;      ///< size of a head, rounded up to a multiple of 16
  float* top;               ///< (group) the greatest product
  float* total;             ///< (group) sum of exp(product - top)
  float* out;               ///< (group, padded) sum of exp(product - top) * value
};

void portable_block(const Block& block);
#if defined(__x86_64__)
void avx2_block(const Block& block);
void avx512_block(const Block& block);
#endif

}  // namespace bestreel::videoscore2::attention_detail
