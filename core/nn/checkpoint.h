// A folder as the Hub publishes it: config files, and safetensors that are mapped, not copied (P7).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "core/nn/safetensors.h"

namespace bestreel {

/// The safetensors of one folder: `<stem>.safetensors`, or the shards of
/// `<stem>.safetensors.index.json`; where both are there, the single file counts, as in
/// transformers. Opening maps the files and reads their headers, nothing else. Tensors alias the
/// mapping (read-only pages: never write to them) and keep it alive. Immutable after open: any
/// thread may read. A file that is cut short or overwritten in place while it is mapped cannot be
/// noticed: replace weights by renaming a new file over the old one.
class BESTREEL_API Checkpoint {
 public:
  /// Errors: "checkpoint_missing", "shard_missing", "safetensors_malformed", "json_malformed".
  static Checkpoint open(const std::string& folder, const std::string& stem = "model");

  /// One file by its path: .safetensors, .gguf, or an index of shards (.json). Its tensors may be
  /// stored as anything that stored_format() has. Errors as open(), and those of
  /// parse_gguf_header.
  static Checkpoint open_file(const std::string& file);

  /// What the one file says of itself beside its tensors: the metadata of safetensors, the strings
  /// of GGUF. Empty for shards.
  std::map<std::string, std::string> metadata() const;

  const std::string& folder() const;
  bool has(const std::string& name) const;
  std::vector<TensorEntry> entries() const;  ///< sorted by name
  std::uint64_t parameters() const;          ///< elements of all tensors
  std::uint64_t bytes() const;               ///< of all tensors

  /// The same files, whose tensors are copied to the device when they are asked for, each time, as
  /// bytes: a conversion happens there. Nothing changes for the CPU.
  Checkpoint to(at::Device device) const;
  at::Device device() const { return device_; }

  /// A cheap name of the contents, 64 hexadecimal digits: names, dtypes, shapes and sampled blocks
  /// of every tensor (small ones whole), so that no training step leaves it as it was; a change of
  /// a few values in the middle of a large tensor can go unseen. Reads at most 64 KiB of a large
  /// tensor.
  std::string fingerprint() const;

  /// The tensor in the file's own dtype (fp32, fp16, bf16), on the CPU; of open_file() float8 too,
  /// and blocks of GGUF as fp32, decoded each time. With `shape`, another shape
  /// is an Error "shape_mismatch" that names the file, the tensor and both shapes. Other errors:
  /// "tensor_missing", "dtype_unsupported".
  at::Tensor tensor(const std::string& name) const;
  at::Tensor tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;

  /// The bytes of a tensor of any dtype, (n) uint8 on the CPU, as they lie in the file. Error
  /// "tensor_missing".
  at::Tensor bytes_of(const std::string& name) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
  at::Device device_ = at::kCPU;
};

}  // namespace bestreel
