#include "reward/videoscore2/linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rsqrt.h>

#include <algorithm>
#include <bit>

#include "core/base/fail.h"

namespace bestreel::videoscore2 {
namespace {

// Few rows: reading the weights is the cost, so each is widened in registers. Every output is
// summed in one fixed order, whatever the thread count or the other rows.
constexpr std::int64_t kFewRows = 8;
constexpr int kLanes = 32;

// One clone per instruction set, chosen when the library is loaded: before a sanitizer is ready, so
// not in their builds.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BESTREEL_CLONES __attribute__((target_clones("default", "arch=haswell", "arch=x86-64-v4")))
#else
#define BESTREEL_CLONES
#endif

float widen(float w) { return w; }
float widen(std::uint16_t w) { return std::bit_cast<float>(static_cast<std::uint32_t>(w) << 16); }

template <typename Weight>
[[gnu::always_inline]] inline float dot(const float* x, const Weight* w, std::int64_t n) {
  float sum[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) sum[lane] += x[i + lane] * widen(w[i + lane]);
  for (; i < n; ++i) sum[i % kLanes] += x[i] * widen(w[i]);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane) sum[lane] += sum[lane + width];
  return sum[0];
}

BESTREEL_CLONES float dot_f32(const float* x, const float* w, std::int64_t n) {
  return dot(x, w, n);
}
BESTREEL_CLONES float dot_bf16(const float* x, const std::uint16_t* w, std::int64_t n) {
  return dot(x, w, n);
}

template <typename Weight>
void few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::Tensor& y,
              float (*dot_product)(const float*, const Weight*, std::int64_t)) {
  const std::int64_t rows = x.size(0), in = x.size(1), out = weight.size(0);
  const float* px = x.const_data_ptr<float>();
  const auto* pw = static_cast<const Weight*>(weight.const_data_ptr());
  const float* pb = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  float* py = y.mutable_data_ptr<float>();
  at::parallel_for(
      0, out, std::max<std::int64_t>(1, 65536 / in), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o)
          for (std::int64_t r = 0; r < rows; ++r)
            py[r * out + o] = dot_product(px + r * in, pw + o * in, in) + (pb ? pb[o] : 0.0f);
      });
}

// x (rows, in) of any dtype; sums in float32, rounded once at the end.
at::Tensor few_rows(const at::Tensor& x, const Linear& linear) {
  const at::Tensor wide = x.to(at::kFloat).contiguous();
  const at::Tensor bias = linear.bias.defined() ? linear.bias.to(at::kFloat) : linear.bias;
  at::Tensor y = at::empty({x.size(0), linear.weight.size(0)}, wide.options());
  if (linear.weight.scalar_type() == at::kFloat)
    few_rows<float>(wide, linear.weight, bias, y, dot_f32);
  else
    few_rows<std::uint16_t>(wide, linear.weight, bias, y, dot_bf16);
  return y.to(x.scalar_type());
}

// Many rows: a slice of the weights is widened, multiplied, and forgotten.
at::Tensor widened(const at::Tensor& x, const Linear& linear) {
  const std::int64_t in = x.size(1), out = linear.weight.size(0);
  const std::int64_t slice = std::max<std::int64_t>(64, (std::int64_t{4} << 20) / in);
  at::Tensor y = at::empty({x.size(0), out}, x.options());
  for (std::int64_t begin = 0; begin < out; begin += slice) {
    const std::int64_t size = std::min(slice, out - begin);
    const at::Tensor w = linear.weight.narrow(0, begin, size).to(x.scalar_type()).t();
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
  const at::ScalarType dtype = weight.scalar_type();
  if (rows.size(0) <= kFewRows && rows.is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16))
    return few_rows(rows, *this).view(shape);
  if (rows.scalar_type() != dtype) return widened(rows, *this).view(shape);
  return at::linear(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

at::Tensor RmsNorm::operator()(const at::Tensor& x) const {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor mean = wide.square().mean(-1, /*keepdim=*/true);
  return wide.mul(at::rsqrt(mean.add_(epsilon))).to(x.scalar_type()).mul_(weight);
}

Weights::Weights(const Checkpoint& checkpoint, at::ScalarType activations)
    : checkpoint_(checkpoint), activations_(activations) {
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
  return {matrix(name + ".weight", {out, in}), bias ? vector(name + ".bias", out) : at::Tensor()};
}

RmsNorm Weights::norm(const std::string& name, std::int64_t size, double epsilon) const {
  return {vector(name + ".weight", size), epsilon};
}

}  // namespace bestreel::videoscore2
