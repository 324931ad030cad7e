#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>

#include "sampler/wan/vae.h"

namespace bestreel::wan {
namespace {

// The mean over blocks of `time` x `space` x `space` values, and over neighbouring channels, down
// to `out` channels: the shortcut of the residual layout. Missing frames in front are zeros.
at::Tensor average_down(const at::Tensor& input, std::int64_t out, std::int64_t time,
                        std::int64_t space) {
  const std::int64_t missing = (time - input.size(0) % time) % time;
  const at::Tensor x = at::constant_pad_nd(input, {0, 0, 0, 0, 0, 0, missing, 0});
  const std::int64_t frames = x.size(0) / time, height = x.size(2) / space,
                     width = x.size(3) / space;
  return x.view({frames, time, x.size(1), height, space, width, space})
      .permute({0, 2, 1, 4, 6, 3, 5})
      .reshape({frames, out, -1, height, width})
      .mean(2);
}

at::Tensor patchify(const at::Tensor& x, std::int64_t p) {
  if (p == 1) return x;
  const std::int64_t frames = x.size(0), height = x.size(2) / p, width = x.size(3) / p;
  return x.view({frames, x.size(1), height, p, width, p})
      .permute({0, 1, 5, 3, 2, 4})
      .reshape({frames, x.size(1) * p * p, height, width});
}

}  // namespace

VaeEncoder::VaeEncoder(const Weights& w, const VaeConfig& c)
    : config_(c), dtype_(w.dtype()), device_(w.device()) {
  const auto row = [&](const std::vector<double>& values) {
    return at::tensor(values).to(at::kFloat).to(device_).view({1, c.z_dim, 1, 1});
  };
  mean_ = row(c.latents_mean);
  inverse_std_ = row(c.latents_std).reciprocal();
  const auto levels = static_cast<std::int64_t>(c.dim_mult.size());
  std::int64_t current = c.base_dim;
  conv_in_ = CausalConv(w, "encoder.conv_in", current, c.in_channels, 3, 3, slots_.next());
  std::int64_t flat = 0;  // without residual shortcuts the layers of all levels are one list
  for (std::int64_t i = 0; i < levels; ++i) {
    const auto level = static_cast<std::size_t>(i);
    const std::string name = fmt::format("encoder.down_blocks.{}", i);
    Down down;
    down.residual = c.is_residual;
    down.out = c.base_dim * c.dim_mult[level];
    for (std::int64_t j = 0; j < c.num_res_blocks; ++j) {
      const std::string block = c.is_residual ? fmt::format("{}.resnets.{}", name, j)
                                              : fmt::format("encoder.down_blocks.{}", flat++);
      down.blocks.emplace_back(w, block, current, down.out, slots_);
      current = down.out;
    }
    if (i + 1 < levels) {
      const std::string sampler =
          c.is_residual ? name + ".downsampler" : fmt::format("encoder.down_blocks.{}", flat++);
      down.weight = w.tensor(sampler + ".resample.1.weight", {down.out, down.out, 3, 3});
      down.bias = w.tensor(sampler + ".resample.1.bias", {down.out});
      if (c.temporal_downsample[level]) {
        down.time_slot = slots_.next();
        down.time.emplace(w, sampler + ".time_conv", down.out, down.out, 3, 1, down.time_slot);
      }
    }
    downs_.push_back(std::move(down));
  }
  mid_.emplace(w, "encoder.mid_block", current, slots_);
  norm_out_ = channel_norm(w, "encoder.norm_out", current);
  conv_out_ = CausalConv(w, "encoder.conv_out", 2 * c.z_dim, current, 3, 3, slots_.next());
  quant_ = CausalConv(w, "quant_conv", 2 * c.z_dim, 2 * c.z_dim, 1, 1, -1);
}

at::Tensor VaeEncoder::down(const Down& level, const at::Tensor& input, VaeState& state) const {
  at::Tensor x = input;
  for (const ResidualBlock& block : level.blocks) x = block(x, state);
  if (level.weight.defined())
    x = at::conv2d(at::constant_pad_nd(x, {0, 1, 0, 1}), level.weight, level.bias, 2);
  if (level.time) {
    at::Tensor& past = state.past[static_cast<std::size_t>(level.time_slot)];
    const at::Tensor last = x.narrow(0, x.size(0) - 1, 1).clone();
    if (!state.first) {  // the first frame passes alone
      const at::Tensor joined = at::cat({past, x});
      std::vector<at::Tensor> out;
      for (std::int64_t i = 0; i + 3 <= joined.size(0); i += 2)
        out.push_back(level.time->window(joined.narrow(0, i, 3)));
      x = at::cat(out);
    }
    past = last;
  }
  if (level.residual)
    x = x + average_down(input, level.out, level.time ? 2 : 1, level.weight.defined() ? 2 : 1);
  return x;
}

at::Tensor VaeEncoder::chunk(const at::Tensor& input, VaeState& state) const {
  at::Tensor x = conv_in_(input, state);
  for (const Down& level : downs_) x = down(level, x, state);
  x = (*mid_)(x, state);
  x = norm_out_(x);
  x = quant_(conv_out_(at::silu_(x), state), state);
  state.first = false;
  return x.narrow(1, 0, config_.z_dim);
}

at::Tensor VaeEncoder::encode(const at::Tensor& frames) const {
  const at::Tensor x = patchify(frames.to(device_, dtype_).contiguous(), config_.patch_size);
  VaeState state;
  state.past.resize(static_cast<std::size_t>(slots_.count));
  std::vector<at::Tensor> latents;
  for (std::int64_t begin = 0; begin < x.size(0);) {
    const std::int64_t size = begin == 0 ? 1 : config_.scale_temporal;
    latents.push_back(chunk(x.narrow(0, begin, size), state));
    begin += size;
  }
  return (at::cat(latents).to(at::kFloat) - mean_)
      .mul_(inverse_std_)
      .transpose(0, 1)
      .unsqueeze(0)
      .contiguous();
}

}  // namespace bestreel::wan
