// What is refused before memory is asked for. Private to core/media.
#pragma once

#include <cstdint>

namespace bestreel {

/// Twice 8K: above every camera and far below what a forged header can claim.
inline constexpr int kMaxSide = 16384;
inline constexpr std::int64_t kMaxPixels = std::int64_t{8192} * 8192;

}  // namespace bestreel
