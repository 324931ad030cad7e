// Weights in place, and the one function that every projection goes through.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/nn/checkpoint.h"
#include "reward/videoscore2/int8_weights.h"

namespace bestreel::videoscore2 {

/// y = x W^T + b. `weight` (out,in) aliases the file's mapping in the file's dtype; x and y are in
/// the activations' dtype. Where the two differ (fp32 activations on bf16 or fp16 weights) each
/// weight is widened as it is read, which is exact: the result is that of an fp32 copy of the
/// weights, at half its memory and traffic. Up to kSkinnyGemm rows on the CPU
/// (kernels/skinny_gemm.h), a row's bits depend on nothing but the row and the weights.
struct Linear {
  at::Tensor weight;
  at::Tensor bias;         ///< undefined = none; in the activations' dtype
  at::Tensor scale;        ///< of int8 weights: (out, ceil(in / group)) float32
  std::int64_t group = 0;  ///< of int8 weights: inputs that share a scale

  at::Tensor operator()(const at::Tensor& x) const;  ///< (..., in) to (..., out)
};

/// Root mean square over the last dimension, in float32 whatever x is.
struct RmsNorm {
  at::Tensor weight;  ///< in the activations' dtype
  double epsilon;

  at::Tensor operator()(const at::Tensor& x) const;
};

/// The tensors of one checkpoint under the names of transformers before 4.52 ("visual.",
/// "model.layers.") or since ("model.visual.", "model.language_model.").
class Weights {
 public:
  /// Errors as Checkpoint::open; "checkpoint_unsupported" for weights that are not floating point,
  /// or wider than the activations (a narrowed copy would double the memory).
  /// `int8`: matrices that linear() takes from there instead (int8_weights.h).
  Weights(const Checkpoint& checkpoint, at::ScalarType activations, Int8Weights int8 = {});

  at::ScalarType activations() const { return activations_; }
  bool has(const std::string& name) const;
  /// In the file's dtype, in place.
  at::Tensor matrix(const std::string& name, std::vector<std::int64_t> shape) const;
  /// Small vectors, converted to the activations' dtype.
  at::Tensor vector(const std::string& name, std::int64_t size) const;
  Linear linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) const;
  RmsNorm norm(const std::string& name, std::int64_t size, double epsilon) const;

 private:
  std::string resolve(const std::string& name) const;

  Checkpoint checkpoint_;
  at::ScalarType activations_;
  Int8Weights int8_;
};

}  // namespace bestreel::videoscore2
