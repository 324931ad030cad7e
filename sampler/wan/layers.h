// Weights of one part, and the layers that the parts share. Private.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/checkpoint.h"
#include "sampler/wan/lora.h"
#include "sampler/wan/names.h"

namespace bestreel::wan {

/// y = x W^T + b.
struct Linear {
  at::Tensor weight;  ///< (out, in)
  at::Tensor bias;    ///< (out), undefined = none

  at::Tensor operator()(const at::Tensor& x) const;  ///< (..., in) to (..., out)
};

/// The tensors of one part in the dtype and on the device that the engine computes with, by our
/// names whatever names the file has. Where it already has them so they are used in place (P7);
/// otherwise they are converted once, when they are loaded: numbers of eight bits with the scales
/// beside them (".scale_weight", ".weight_scale"), blocks of GGUF.
class Weights {
 public:
  /// `lora` may be null; its deltas are merged as the matrices are read.
  Weights(const std::string& file, Part part, at::ScalarType dtype, at::Device device,
          std::shared_ptr<const Lora> lora = nullptr);

  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  bool has(const std::string& name) const { return names_.contains(name); }

  /// In the engine's dtype.
  at::Tensor tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;
  /// In float32, whatever the engine's dtype: diffusers' islands.
  at::Tensor to_fp32(const std::string& name, const std::vector<std::int64_t>& shape) const;
  Linear linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias = true) const;
  Linear wide_linear(const std::string& name, std::int64_t out, std::int64_t in) const;

 private:
  at::Tensor load(const std::string& name, const std::vector<std::int64_t>& shape,
                  at::ScalarType dtype) const;
  /// As the file's numbers mean it, on `device`.
  at::Tensor stored(const std::string& name, const std::vector<std::int64_t>& shape,
                    at::Device device) const;
  at::Tensor folded(const at::Tensor& values, const std::string& theirs,
                    const std::vector<std::int64_t>& shape) const;

  std::string file_;
  Checkpoint checkpoint_;
  std::map<std::string, std::string> names_;  // ours to the file's
  at::ScalarType dtype_;
  at::Device device_;
  std::shared_ptr<const Lora> lora_;
};

}  // namespace bestreel::wan
