#if defined(__x86_64__)
#include <immintrin.h>

#include <bit>
#include <cstdint>

#include "reward/videoscore2/kernels/bfloat16.h"
#include "reward/videoscore2/kernels/skinny_gemm_detail.h"

namespace bestreel::videoscore2::skinny_gemm_detail {
namespace {

#include "reward/videoscore2/kernels/vec_avx2.h"

// 16 registers: the sums, an x, and the weights.
constexpr int kColumns = 4;
constexpr int block_rows(int columns) { return columns == 1 ? 8 : columns == 2 ? 4 : 3; }

#include "reward/videoscore2/kernels/skinny_gemm_body.h"

}  // namespace

Kernels avx2_kernels(Element, Element weights) { return widened_kernels(weights); }

}  // namespace bestreel::videoscore2::skinny_gemm_detail
#endif
