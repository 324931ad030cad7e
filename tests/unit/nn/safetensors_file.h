// Safetensors files made by hand, so that each of their bytes can lie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bestreel {

/// Length, header, data. `length` lies about the header's length where it is not negative.
inline std::string safetensors_bytes(const std::string& header, std::string_view data,
                                     std::int64_t length = -1) {
  std::uint64_t value = length < 0 ? header.size() : static_cast<std::uint64_t>(length);
  std::string bytes;
  for (int i = 0; i < 8; ++i, value >>= 8) bytes += static_cast<char>(value & 0xFF);
  return bytes + header + std::string(data);
}

}  // namespace bestreel
