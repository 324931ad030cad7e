#include "reward/videoscore2/kernels/skinny_gemm.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>
#include <new>

#include "reward/videoscore2/kernels/isa.h"
#include "reward/videoscore2/kernels/skinny_gemm_detail.h"

namespace bestreel::videoscore2 {
namespace {

using skinny_gemm_detail::Kernels;

Kernels kernels_for(Isa isa, Element activations, Element weights) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return skinny_gemm_detail::avx2_kernels(activations, weights);
    case Isa::kAvx512:
      return skinny_gemm_detail::avx512_kernels(activations, weights);
    case Isa::kAvx512Bf16:
      return skinny_gemm_detail::avx512bf16_kernels(activations, weights);
#endif
    default:
      return skinny_gemm_detail::portable_kernels(activations, weights);
  }
}

struct Free {
  void operator()(void* p) const { ::operator delete(p, std::align_val_t(64)); }
};

// A task reads at least so many weights: less is not worth waking a thread for.
constexpr std::int64_t kGrain = 64 << 10;
// Outputs that a task takes at a time: a multiple of every block's rows.
constexpr std::int64_t kStride = 24;

}  // namespace

void skinny_gemm(const SkinnyGemm& p) {
  if (p.rows == 0 || p.out == 0) return;
  const Kernels kernels = kernels_for(current_isa(), p.activations, p.weights);
  const std::int64_t padded = (p.in + kernels.unit - 1) / kernels.unit * kernels.unit;
  const std::unique_ptr<void, Free> packed(::operator new(
      static_cast<std::size_t>(p.rows * padded * kernels.element_size + 64), std::align_val_t(64)));
  kernels.pack(p, padded, packed.get());
  const skinny_gemm_detail::Packed task{p, packed.get(), padded};
  const std::int64_t strides = (p.out + kStride - 1) / kStride;
  at::parallel_for(0, strides, std::max<std::int64_t>(1, kGrain / (p.in * kStride + 1)),
                   [&](std::int64_t begin, std::int64_t end) {
                     kernels.run(task, begin * kStride, std::min(p.out, end * kStride));
                   });
}

}  // namespace bestreel::videoscore2
