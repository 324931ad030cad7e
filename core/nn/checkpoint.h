// A folder as the Hub publishes it: config files, and safetensors that are mapped, not copied (P7).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
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

  /// The tensor in the file's own dtype (fp32, fp16, bf16), on the CPU. With `shape`, another shape
  /// is an Error "shape_mismatch" that names the file, the tensor and both shapes. Other errors:
  /// "tensor_missing", "dtype_unsupported".
  at::Tensor tensor(const std::string& name) const;
  at::Tensor tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
  at::Device device_ = at::kCPU;
};

}  // namespace bestreel
