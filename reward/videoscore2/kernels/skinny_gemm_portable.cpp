#include <bit>
#include <cstdint>

#include "reward/videoscore2/kernels/bfloat16.h"
#include "reward/videoscore2/kernels/skinny_gemm_detail.h"

namespace bestreel::videoscore2::skinny_gemm_detail {
namespace {

#include "reward/videoscore2/kernels/vec_portable.h"

constexpr int kColumns = 4;
constexpr int block_rows(int columns) { return columns == 1 ? 4 : 2; }

#include "reward/videoscore2/kernels/skinny_gemm_body.h"

}  // namespace

Kernels portable_kernels(Element, Element weights) { return widened_kernels(weights); }

}  // namespace bestreel::videoscore2::skinny_gemm_detail
