#if defined(__x86_64__)
#include <immintrin.h>

#include <bit>
#include <cstdint>

#include "reward/videoscore2/kernels/attention_detail.h"

namespace bestreel::videoscore2::attention_detail {
namespace {

#include "reward/videoscore2/kernels/vec_avx2.h"

constexpr int kWide = 2;

#include "reward/videoscore2/kernels/attention_body.h"

}  // namespace

void avx2_block(const Block& b) { block(b); }

}  // namespace bestreel::videoscore2::attention_detail
#endif
