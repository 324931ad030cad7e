// What skinny_gemm.cpp and its instruction sets share.
#pragma once

#include <cstdint>

#include "reward/videoscore2/kernels/skinny_gemm.h"

namespace bestreel::videoscore2::skinny_gemm_detail {

/// A product whose rows of x have been packed for the kernels of one instruction set.
struct Packed {
  SkinnyGemm product;
  const void* x;        ///< as SkinnyGemmKernels::pack left it
  std::int64_t padded;  ///< columns of a packed row
};

struct Kernels {
  std::int64_t unit;  ///< a packed row is padded with zeros to a multiple of this many columns
  std::int64_t element_size;  ///< bytes of a packed column
  /// Copies x into the order in which the kernels read it.
  void (*pack)(const SkinnyGemm& product, std::int64_t padded, void* packed);
  /// Outputs [begin, end) of all rows.
  void (*run)(const Packed& packed, std::int64_t begin, std::int64_t end);
};

/// Of these activations and weights. No processor is asked: call what it has.
Kernels portable_kernels(Element activations, Element weights);
#if defined(__x86_64__)
Kernels avx2_kernels(Element activations, Element weights);
Kernels avx512_kernels(Element activations, Element weights);
Kernels avx512bf16_kernels(Element activations, Element weights);
#endif

}  // namespace bestreel::videoscore2::skinny_gemm_detail
