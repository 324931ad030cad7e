// Weights of one part, and the layers that the parts share. Private.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/checkpoint.h"
#include "sampler/wan/lora.h"

namespace bestreel::wan {

/// y = x W^T + b.
struct Linear {
  at::Tensor weight;  ///< (out, in)
  at::Tensor bias;    ///< (out), undefined = none

  at::Tensor operator()(const at::Tensor& x) const;  ///< (..., in) to (..., out)
};

/// The tensors of one folder in the dtype and on the device that the engine computes with. Where
/// the file already has them so they are used in place (P7); otherwise they are converted once,
/// when they are loaded.
class Weights {
 public:
  /// `lora` may be null; its deltas are merged as the matrices are read.
  Weights(const std::string& folder, const std::string& stem, at::ScalarType dtype,
          at::Device device, std::shared_ptr<const Lora> lora = nullptr);

  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  bool has(const std::string& name) const { return checkpoint_.has(name); }

  /// In the engine's dtype.
  at::Tensor tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;
  /// In float32, whatever the engine's dtype: diffusers' islands.
  at::Tensor to_fp32(const std::string& name, const std::vector<std::int64_t>& shape) const;
  Linear linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias = true) const;
  Linear wide_linear(const std::string& name, std::int64_t out, std::int64_t in) const;

 private:
  at::Tensor load(const std::string& name, const std::vector<std::int64_t>& shape,
                  at::ScalarType dtype) const;

  Checkpoint checkpoint_;
  at::ScalarType dtype_;
  at::Device device_;
  std::shared_ptr<const Lora> lora_;
};

}  // namespace bestreel::wan
