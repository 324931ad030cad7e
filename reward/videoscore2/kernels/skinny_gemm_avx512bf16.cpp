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
#undef KERNEL
#define KERNEL __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16")))

constexpr int kColumns = 8;
constexpr int block_rows(int columns) {
  return columns <= 3 ? 8 : columns == 4 ? 6 : columns <= 6 ? 4 : 3;
}

#include "reward/videoscore2/kernels/skinny_gemm_body.h"

/// bfloat16 times bfloat16, two products and two sums an instruction and lane.
struct Pairs {
  using Factor = std::uint16_t;
  using Operand = __m512i;
  static constexpr std::int64_t kBytes = 2;
  static constexpr bool kScaled = false;
  static constexpr int kParts = 1;
  static constexpr std::int64_t kFactorBytes = kLine;

  INLINE static __m512i operand(const char* line, int, const float*) {
    return _mm512_loadu_si512(line);
  }
  INLINE static __m512i factor(const char* x) { return _mm512_loadu_si512(x); }
  INLINE static Vec fma(__m512i w, __m512i x, Vec sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(x));
  }
  INLINE static void arrange(const std::uint16_t* line, std::uint16_t* to) {
    for (int i = 0; i < kLine / kBytes; ++i) to[i] = line[i];
  }
};

}  // namespace

Kernels avx512bf16_kernels(Element activations, Element weights) {
  if (activations == Element::kBFloat16 && weights == Element::kBFloat16) return kernels<Pairs>();
  return avx512_kernels(activations, weights);
}

}  // namespace bestreel::videoscore2::skinny_gemm_detail
#endif
