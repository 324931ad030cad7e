// What a number is stored as.
#pragma once

#include <cstdint>

namespace bestreel::videoscore2 {

enum class Element : std::uint8_t { kFloat32, kBFloat16, kFloat16, kInt8 };

}  // namespace bestreel::videoscore2
