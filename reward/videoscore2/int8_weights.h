// Weight-only int8: the decoder's matrices, converted once into a file that is mapped ever after.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/nn/checkpoint.h"

namespace bestreel::videoscore2 {

/// Symmetric, one scale for kInt8Group consecutive inputs of an output: a whole channel's scale
/// would follow its one greatest weight.
inline constexpr std::int64_t kInt8Group = 128;

struct Int8Matrix {
  at::Tensor values;  ///< (out, in) int8, of -127..127, aliases the file's mapping
  at::Tensor scales;  ///< (out, ceil(in / kInt8Group)) float32
};

/// `matrix` (out, in) of a floating dtype in int8, in new memory.
Int8Matrix quantise(const at::Tensor& matrix);

/// By the names that the source has. What is not here stays as it is: embedding, norms, biases and
/// the vision tower.
using Int8Weights = std::map<std::string, Int8Matrix>;

/// Whether the matrix `name` is one that is converted: a projection of the decoder or its head.
bool is_int8_candidate(const std::string& name);

/// `bestreel-int8.safetensors` in the source's folder or, where that is not writable, in
/// $XDG_CACHE_HOME/bestreel (~/.cache/bestreel) under the source's digest. The file names the
/// `digest` it was made from and carries a checksum of its data, which is checked, so all of it is
/// read here. A file that is corrupt or of other weights is made again; that, and making one at
/// all, is said on standard error. It appears whole or not at all.
/// Errors: "disk_full" or "write_failed" if neither place can hold it.
Int8Weights int8_weights(const Checkpoint& source, const std::string& digest);

}  // namespace bestreel::videoscore2
