// Rotary embedding, shared by the vision tower and the decoder. Private.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/sub.h>

namespace bestreel::videoscore2 {

struct Rope {
  at::Tensor cos, sin;  ///< (..., head/2), broadcast against x without its last dimension
};

/// theta^(-2i/dim) for i in [0, dim/2), float32, in the reference's order of roundings.
inline at::Tensor inverse_frequencies(std::int64_t dim, double theta) {
  const at::Tensor exponent = at::arange(0, dim, 2, at::kFloat).div(static_cast<double>(dim));
  return at::reciprocal(at::pow(theta, exponent));
}

/// Turns pairs (x[i], x[i + head/2]), in x's dtype: (..., head) to the same shape, contiguous.
inline at::Tensor rotate(const at::Tensor& x, const Rope& by) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor first = x.narrow(-1, 0, half), second = x.narrow(-1, half, half);
  at::Tensor out = at::empty(x.sizes(), x.options());
  at::Tensor low = out.narrow(-1, 0, half), high = out.narrow(-1, half, half);
  at::sub_out(low, first.mul(by.cos), second.mul(by.sin));
  at::add_out(high, second.mul(by.cos), first.mul(by.sin));
  return out;
}

}  // namespace bestreel::videoscore2
