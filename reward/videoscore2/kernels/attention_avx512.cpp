#if defined(__x86_64__)
// gcc 12 finds its own header's "undefined" registers uninitialised.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <bit>
#include <cstdint>

#include "reward/videoscore2/kernels/attention_detail.h"

namespace bestreel::videoscore2::attention_detail {
namespace {

#include "reward/videoscore2/kernels/vec_avx512.h"

constexpr int kWide = 4;

#include "reward/videoscore2/kernels/attention_body.h"

}  // namespace

void avx512_block(const Block& b) { block(b); }

}  // namespace bestreel::videoscore2::attention_detail
#endif
