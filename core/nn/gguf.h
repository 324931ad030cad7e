// The header of a GGUF file. Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "core/nn/safetensors.h"

namespace bestreel {

struct GgufHeader {
  /// Shapes in the order of other formats, the fastest dimension last; dtype by ggml's names
  /// ("Q4_K"). In the order of their data.
  std::vector<TensorEntry> tensors;
  std::map<std::string, std::string> strings;                 ///< of its key-value pairs
  std::map<std::string, std::vector<std::int64_t>> integers;  ///< single ones and lists up to 16
};

/// Whether the first bytes are a GGUF file's.
BESTREEL_API bool is_gguf(const std::uint8_t* bytes, std::uint64_t available);

/// Parses and checks the header of a file of which all `size` bytes are at hand; `file` only names
/// it in errors. Throws Error "gguf_malformed", and "gguf_unsupported" for another version or a
/// type of numbers that stored_format() does not know.
/// Source: ggml's docs/gguf.md.
BESTREEL_API GgufHeader parse_gguf_header(const std::string& file, const std::uint8_t* bytes,
                                          std::uint64_t size);

}  // namespace bestreel
