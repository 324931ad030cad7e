#include "reward/videoscore2/linear.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/rsqrt.h>

#include <algorithm>
#include <optional>

#include "core/base/fail.h"
#include "reward/videoscore2/kernels/skinny_gemm.h"

namespace bestreel::videoscore2 {
namespace {

std::optional<Element> element_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return Element::kFloat32;
    case at::kBFloat16:
      return Element::kBFloat16;
    case at::kHalf:
      return Element::kFloat16;
    case at::kChar:
      return Element::kInt8;
    default:
      return std::nullopt;
  }
}

// x (rows, in)
at::Tensor streamed(const at::Tensor& x, const Linear& linear) {
  const at::Tensor rows = x.contiguous();
  at::Tensor y = at::empty({x.size(0), linear.weight.size(0)}, x.options());
  skinny_gemm({.rows = x.size(0),
               .in = x.size(1),
               .out = linear.weight.size(0),
               .activations = *element_of(x.scalar_type()),
               .weights = *element_of(linear.weight.scalar_type()),
               .x = rows.const_data_ptr(),
               .weight = linear.weight.const_data_ptr(),
               .bias = linear.bias.defined() ? linear.bias.const_data_ptr() : nullptr,
               .scale = linear.scale.defined() ? linear.scale.const_data_ptr<float>() : nullptr,
               .group = linear.group,
               .y = y.mutable_data_ptr()});
  return y;
}

bool has_kernel(const at::Tensor& x, const at::Tensor& weight) {
  return x.is_cpu() && weight.is_cpu() && weight.is_contiguous() &&
         element_of(weight.scalar_type()) &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

at::Tensor widen(const Linear& linear, std::int64_t begin, std::int64_t size, at::ScalarType type) {
  const at::Tensor w = linear.weight.narrow(0, begin, size);
  if (!linear.scale.defined()) return w.to(type);
  const at::Tensor scale =
      at::repeat_interleave(linear.scale.narrow(0, begin, size), linear.group, 1);
  return w.to(at::kFloat).mul_(scale.narrow(1, 0, w.size(1))).to(type);
}

// Many rows: a slice of the weights is widened, multiplied, and forgotten.
at::Tensor widened(const at::Tensor& x, const Linear& linear) {
  const std::int64_t in = x.size(1), out = linear.weight.size(0);
  const std::int64_t slice = std::max<std::int64_t>(64, (std::int64_t{4} << 20) / in);
  at::Tensor y = at::empty({x.size(0), out}, x.options());
  for (std::int64_t begin = 0; begin < out; begin += slice) {
    const std::int64_t size = std::min(slice, out - begin);
    const at::Tensor w = widen(linear, begin, size, x.scalar_type()).t();
    at::Tensor target = y.narrow(1, begin, size);
    if (linear.bias.defined())
      at::addmm_out(target, linear.bias.narrow(0, begin, size), x, w);
    else
      at::mm_out(target, x, w);
  }
  return y;
}

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x) const {
  std::vector<std::int64_t> shape = x.sizes().vec();
  const at::Tensor rows = x.reshape({-1, shape.back()});
  shape.back() = weight.size(0);
  if (rows.size(0) <= kSkinnyGemm && has_kernel(rows, weight))
    return streamed(rows, *this).view(shape);
  if (rows.scalar_type() != weight.scalar_type()) return widened(rows, *this).view(shape);
  return at::linear(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

at::Tensor RmsNorm::operator()(const at::Tensor& x) const {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor mean = wide.square().mean(-1, /*keepdim=*/true);
  return wide.mul(at::rsqrt(mean.add_(epsilon))).to(x.scalar_type()).mul_(weight);
}

Weights::Weights(const Checkpoint& checkpoint, at::ScalarType activations, Int8Weights int8)
    : checkpoint_(checkpoint), activations_(activations), int8_(std::move(int8)) {
  for (const TensorEntry& entry : checkpoint.entries()) {
    const bool half = entry.dtype == "BF16" || (entry.dtype == "F16" && activations == at::kFloat);
    if (half || (entry.dtype == "F32" && activations == at::kFloat)) continue;
    fail("checkpoint_unsupported", "checkpoint",
         "{} must hold {} weights for this --dtype but {} is {}: pass {}", checkpoint.folder(),
         activations == at::kFloat ? "F32, BF16 or F16" : "BF16", entry.name, entry.dtype,
         activations == at::kFloat ? "a checkpoint in one of these" : "--dtype fp32");
  }
}

std::string Weights::resolve(const std::string& name) const {
  if (checkpoint_.has(name)) return name;
  if (name.starts_with("visual.")) return "model." + name;
  if (name.starts_with("model.")) return "model.language_model." + name.substr(6);
  return name;
}

bool Weights::has(const std::string& name) const { return checkpoint_.has(resolve(name)); }

at::Tensor Weights::matrix(const std::string& name, std::vector<std::int64_t> shape) const {
  return checkpoint_.tensor(resolve(name), shape);
}

at::Tensor Weights::vector(const std::string& name, std::int64_t size) const {
  return checkpoint_.tensor(resolve(name), {size}).to(activations_);
}

Linear Weights::linear(const std::string& name, std::int64_t out, std::int64_t in,
                       bool bias) const {
  const at::Tensor added = bias ? vector(name + ".bias", out) : at::Tensor();
  const auto found = int8_.find(resolve(name + ".weight"));
  if (found == int8_.end()) return {matrix(name + ".weight", {out, in}), added};
  // Checks the shape; what int8 stands for does not go to the device.
  checkpoint_.to(at::kCPU).tensor(resolve(name + ".weight"), {out, in});
  const at::Device device = checkpoint_.device();
  return {found->second.values.to(device), added, found->second.scales.to(device), kInt8Group};
}

RmsNorm Weights::norm(const std::string& name, std::int64_t size, double epsilon) const {
  return {vector(name + ".weight", size), epsilon};
}

}  // namespace bestreel::videoscore2
