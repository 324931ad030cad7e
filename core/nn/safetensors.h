// The header of a safetensors file. Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

/// What the header of a safetensors file says of one tensor.
struct TensorEntry {
  std::string name;
  std::string dtype;  ///< as in the file: "F32", "BF16", ...
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< bytes from the start of the file
  std::uint64_t end = 0;
};

/// Parses and checks a header: its length against the file, known dtypes, no name twice, sizes
/// against shapes, and data that tiles the rest of the file without hole, overlap or remainder (the
/// format's own rules). `bytes` holds the first `available` bytes of a file of `file_size` bytes;
/// `file` only names it in errors. The entries are in the order of their data.
/// Throws Error "safetensors_malformed".
/// Source: the format's description in the safetensors repository's README.
BESTREEL_API std::vector<TensorEntry> parse_safetensors_header(const std::string& file,
                                                               const std::uint8_t* bytes,
                                                               std::uint64_t available,
                                                               std::uint64_t file_size);

/// The "__metadata__" of a whole file whose header parse_safetensors_header() has checked.
BESTREEL_API std::map<std::string, std::string> parse_safetensors_metadata(
    const std::uint8_t* bytes, std::uint64_t file_size);

}  // namespace bestreel
