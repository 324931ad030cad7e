#if defined(__x86_64__)
// gcc 12 finds its own header's "undefined" registers uninitialised.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <bit>
#include <cstdint>

#include "reward/videoscore2/kernels/bfloat16.h"
#include "reward/videoscore2/kernels/skinny_gemm_detail.h"

namespace bestreel::videoscore2::skinny_gemm_detail {
namespace {

#include "reward/videoscore2/kernels/vec_avx512.h"

// 32 registers: the sums, an x, and the weights.
constexpr int kColumns = 8;
constexpr int block_rows(int columns) {
  return columns <= 3 ? 8 : columns == 4 ? 6 : columns <= 6 ? 4 : 3;
}

#include "reward/videoscore2/kernels/skinny_gemm_body.h"

}  // namespace

Kernels avx512_kernels(Element, Element weights) { return widened_kernels(weights); }

}  // namespace bestreel::videoscore2::skinny_gemm_detail
#endif
