#include <bit>
#include <cstdint>

#include "reward/videoscore2/kernels/attention_detail.h"

namespace bestreel::videoscore2::attention_detail {
namespace {

#include "reward/videoscore2/kernels/vec_portable.h"

constexpr int kWide = 2;

#include "reward/videoscore2/kernels/attention_body.h"

}  // namespace

void portable_block(const Block& b) { block(b); }

}  // namespace bestreel::videoscore2::attention_detail
