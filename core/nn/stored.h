// How the numbers of a tensor lie in a file: one table for safetensors and GGUF. Torch-free.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/export.h"

namespace bestreel {

/// What the bytes are in the tensor library's own words; kBlocks must be decoded.
enum class StoredAs : std::uint8_t { kFloat, kHalf, kBFloat16, kFloat8E4M3, kFloat8E5M2, kBlocks };

struct StoredFormat {
  std::string_view name;  ///< "BF16", "F8_E4M3", "Q4_K": as the file has it
  StoredAs as;
  std::int64_t elements, bytes;  ///< of one block; 1 element where there are no blocks
  /// kBlocks: `count` blocks to float32, equal to ggml's own dequantisation; may be called for any
  /// run of blocks.
  void (*decode)(const std::uint8_t* blocks, std::int64_t count, float* out) = nullptr;
};

/// nullptr: a format that is not computed with.
BESTREEL_API const StoredFormat* stored_format(std::string_view name);

}  // namespace bestreel
