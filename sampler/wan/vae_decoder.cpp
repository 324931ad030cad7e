#include <ATen/ops/conv2d.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <fmt/format.h>

#include "sampler/wan/vae.h"

namespace bestreel::wan {
namespace {

// Each value becomes a block of `time` x 2 x 2 values, spread over the output's channels: the
// shortcut of the residual layout.
at::Tensor duplicate_up(const at::Tensor& x, std::int64_t out, std::int64_t time, bool first) {
  const std::int64_t frames = x.size(0), height = x.size(2), width = x.size(3);
  const at::Tensor y = x.repeat_interleave(out * time * 4 / x.size(1), 1)
                           .view({frames, out, time, 2, 2, height, width})
                           .permute({0, 2, 1, 5, 3, 6, 4})
                           .reshape({frames * time, out, 2 * height, 2 * width});
  return first ? y.narrow(0, time - 1, y.size(0) - time + 1) : y;
}

at::Tensor unpatchify(const at::Tensor& x, std::int64_t p) {
  if (p == 1) return x;
  const std::int64_t frames = x.size(0), height = x.size(2), width = x.size(3);
  return x.view({frames, -1, p, p, height, width})
      .permute({0, 1, 4, 3, 5, 2})
      .reshape({frames, -1, height * p, width * p});
}

}  // namespace

VaeDecoder::VaeDecoder(const Weights& w, const VaeConfig& c)
    : config_(c), dtype_(w.dtype()), device_(w.device()) {
  const auto row = [&](const std::vector<double>& values) {
    return at::tensor(values).to(at::kFloat).to(device_, dtype_).view({1, c.z_dim, 1, 1});
  };
  mean_ = row(c.latents_mean);
  inverse_std_ = row(c.latents_std).reciprocal();
  quant_ = CausalConv(w, "post_quant_conv", c.z_dim, c.z_dim, 1, 1, -1);
  const auto levels = static_cast<std::int64_t>(c.dim_mult.size());
  std::int64_t current = c.decoder_base_dim * c.dim_mult.back();
  conv_in_ = CausalConv(w, "decoder.conv_in", current, c.z_dim, 3, 3, slots_.next());
  mid_.emplace(w, "decoder.mid_block", current, slots_);
  for (std::int64_t i = 0; i < levels; ++i) {
    const auto level = static_cast<std::size_t>(levels - 1 - i);
    const std::string name = fmt::format("decoder.up_blocks.{}.", i);
    const std::int64_t out = c.decoder_base_dim * c.dim_mult[level];
    Up up;
    for (std::int64_t j = 0; j <= c.num_res_blocks; ++j) {
      up.blocks.emplace_back(w, fmt::format("{}resnets.{}", name, j), current, out, slots_);
      current = out;
    }
    if (i + 1 < levels) {
      const std::string sampler = name + (c.is_residual ? "upsampler" : "upsamplers.0");
      const std::int64_t narrowed = c.is_residual ? out : out / 2;
      up.weight = w.tensor(sampler + ".resample.1.weight", {narrowed, out, 3, 3});
      up.bias = w.tensor(sampler + ".resample.1.bias", {narrowed});
      if (c.temporal_downsample[level - 1])
        up.time.emplace(w, sampler + ".time_conv", 2 * out, out, 3, 1, slots_.next());
      if (c.is_residual) up.shortcut_channels = out;
      current = narrowed;
    }
    ups_.push_back(std::move(up));
  }
  norm_out_ = channel_norm(w, "decoder.norm_out", current);
  conv_out_ = CausalConv(w, "decoder.conv_out", c.out_channels, current, 3, 3, slots_.next());
}

at::Tensor VaeDecoder::up(const Up& level, const at::Tensor& input, VaeState& state) const {
  at::Tensor x = input;
  for (const ResidualBlock& block : level.blocks) x = block(x, state);
  if (!level.weight.defined()) return x;
  // The first frame stands alone: it is not doubled, and the time convolution never sees it.
  if (level.time && !state.first) {
    const at::Tensor pairs = (*level.time)(x, state);
    x = pairs.view({2 * x.size(0), x.size(1), x.size(2), x.size(3)});
  }
  x = at::conv2d(at::upsample_nearest2d(x, at::IntArrayRef({2 * x.size(2), 2 * x.size(3)})),
                 level.weight, level.bias, 1, 1);
  if (level.shortcut_channels > 0)
    x.add_(duplicate_up(input, level.shortcut_channels, level.time ? 2 : 1, state.first));
  return x;
}

at::Tensor VaeDecoder::chunk(const at::Tensor& z, VaeState& state) const {
  at::Tensor x = conv_in_(quant_(z, state), state);
  x = (*mid_)(x, state);
  for (const Up& level : ups_) x = up(level, x, state);
  x = norm_out_(x);
  x = conv_out_(at::silu_(x), state);
  state.first = false;
  return unpatchify(x, config_.patch_size).clamp_(-1.0, 1.0);
}

void VaeDecoder::decode(const at::Tensor& latents, const Sink& sink) const {
  const at::Tensor frames = latents.squeeze(0).transpose(0, 1).to(device_, dtype_);
  VaeState state;
  state.past.resize(static_cast<std::size_t>(slots_.count));
  for (std::int64_t i = 0; i < frames.size(0); ++i)
    sink(chunk(frames.narrow(0, i, 1).div(inverse_std_).add_(mean_), state));
}

}  // namespace bestreel::wan
