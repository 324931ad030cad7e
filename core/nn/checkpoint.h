// A folder as the Hub publishes it: config files, and safetensors that are mapped, not copied (P7).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
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

/// Parses and checks a header: sizes against shapes and the file, no overlap, no gap outside the
/// format's rules. `file` only names the file in errors. Throws Error "safetensors_malformed".
/// Source: the format's description in the safetensors repository's README.
BESTREEL_API std::vector<TensorEntry> parse_safetensors_header(const std::string& file,
                                                               const std::uint8_t* bytes,
                                                               std::uint64_t available,
                                                               std::uint64_t file_size);

/// The safetensors of one folder: `<stem>.safetensors`, or the shards of
/// `<stem>.safetensors.index.json`. Opening maps the files and reads their headers, nothing else.
/// Tensors alias the mapping (read-only pages: never write to them) and keep it alive. Immutable
/// after open: any thread may read.
class BESTREEL_API Checkpoint {
 public:
  /// Errors: "checkpoint_missing", "shard_missing", "safetensors_malformed", "json_malformed".
  static Checkpoint open(const std::string& folder, const std::string& stem = "model");

  const std::string& folder() const;
  bool has(const std::string& name) const;
  std::vector<TensorEntry> entries() const;  ///< sorted by name
  std::uint64_t parameters() const;
  std::uint64_t bytes() const;

  /// The tensor in the file's own dtype (fp32, fp16, bf16), on the CPU. With `shape`, another shape
  /// is an Error "shape_mismatch" that names the file, the tensor and both shapes.
  at::Tensor tensor(const std::string& name) const;
  at::Tensor tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace bestreel
