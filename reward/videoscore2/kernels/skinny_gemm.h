// y = x W^T + b for the few rows of a decode step, where reading W is the cost.
#pragma once

#include <cstdint>

#include "reward/videoscore2/kernels/element.h"

namespace bestreel::videoscore2 {

/// The most rows for which a projection goes through skinny_gemm(): a decode batch is no wider. A
/// matrix product of the library is faster beyond, but its bits depend on the number of rows.
inline constexpr std::int64_t kSkinnyGemm = 32;

/// All matrices are dense and row-major, aligned to their elements, no more.
struct SkinnyGemm {
  std::int64_t rows, in, out;
  Element activations;  ///< of x, bias and y: kFloat32 or kBFloat16
  Element weights;
  const void* x;       ///< (rows, in)
  const void* weight;  ///< (out, in)
  const void* bias;    ///< (out), or null
  const float* scale;  ///< of kInt8: (out, ceil(in / group)), what one step of a weight is worth
  std::int64_t group;  ///< of kInt8: inputs that share a scale, a multiple of 64
  void* y;             ///< (rows, out)
};

/// Sums in float32, rounds once to y. Weights are read once for all rows, widened in registers,
/// which is exact, and not repacked.
///
/// Each output is summed in one fixed order: its bits depend on its row of x and of W alone, not on
/// the other rows, their number or order, nor on the thread count (at::parallel_for over the
/// outputs). They may differ between instruction sets (isa.h). With kAvx512Bf16, products of
/// bfloat16 activations and weights flush subnormal numbers to zero, as that instruction does.
void skinny_gemm(const SkinnyGemm& product);

}  // namespace bestreel::videoscore2
