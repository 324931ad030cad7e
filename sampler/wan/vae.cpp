#include "sampler/wan/vae.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>

#include <algorithm>
#include <cmath>

namespace bestreel::wan {

CausalConv::CausalConv(const Weights& w, const std::string& name, std::int64_t out, std::int64_t in,
                       std::int64_t kernel_t, std::int64_t kernel, int slot)
    : kernel_t_(kernel_t), padding_(kernel / 2), slot_(slot) {
  // Frames before channels, once; an autoencoder is small beside the rest.
  weight_ = w.tensor(name + ".weight", {out, in, kernel_t, kernel, kernel})
                .permute({0, 2, 1, 3, 4})
                .reshape({out, kernel_t * in, kernel, kernel});
  bias_ = w.tensor(name + ".bias", {out});
}

at::Tensor CausalConv::operator()(const at::Tensor& x, VaeState& state) const {
  if (kernel_t_ == 1) return at::conv2d(x, weight_, bias_, 1, padding_);
  at::Tensor& past = state.past[static_cast<std::size_t>(slot_)];
  const at::Tensor joined = past.defined() ? at::cat({past, x}) : x.contiguous();
  const std::int64_t known = joined.size(0), count = x.size(0);
  std::vector<at::Tensor> out;
  for (std::int64_t i = 0; i < count; ++i) {
    // The window ends at frame `end`; what reaches before the first frame meets zeros.
    const std::int64_t end = known - count + i + 1, taps = std::min(end, kernel_t_);
    out.push_back(window(joined.narrow(0, end - taps, taps)));
  }
  const std::int64_t kept = std::min(known, kernel_t_ - 1);
  past = joined.narrow(0, known - kept, kept).clone();
  return count == 1 ? out[0] : at::cat(out);
}

at::Tensor CausalConv::window(const at::Tensor& frames) const {
  const std::int64_t used = frames.size(0) * frames.size(1), all = weight_.size(1);
  return at::conv2d(frames.view({1, used, frames.size(2), frames.size(3)}),
                    weight_.narrow(1, all - used, used), bias_, 1, padding_);
}

ChannelNorm channel_norm(const Weights& w, const std::string& name, std::int64_t dim, bool images) {
  const at::Tensor gamma =
      images ? w.tensor(name + ".gamma", {dim, 1, 1}) : w.tensor(name + ".gamma", {dim, 1, 1, 1});
  return {gamma.view({1, dim, 1, 1}) * std::sqrt(static_cast<double>(dim))};
}

at::Tensor ChannelNorm::operator()(const at::Tensor& x) const {
  const at::Tensor norm = at::linalg_vector_norm(x, 2, {1}, /*keepdim=*/true);
  return x.div(norm.clamp_min_(1e-12)).mul_(gamma);
}

ResidualBlock::ResidualBlock(const Weights& w, const std::string& name, std::int64_t in,
                             std::int64_t out, Slots& slots)
    : norm1(channel_norm(w, name + ".norm1", in)),
      norm2(channel_norm(w, name + ".norm2", out)),
      conv1(w, name + ".conv1", out, in, 3, 3, slots.next()),
      conv2(w, name + ".conv2", out, out, 3, 3, slots.next()) {
  if (in != out) shortcut.emplace(w, name + ".conv_shortcut", out, in, 1, 1, -1);
}

at::Tensor ResidualBlock::operator()(const at::Tensor& x, VaeState& state) const {
  at::Tensor y = norm1(x);
  y = conv1(at::silu_(y), state);
  y = norm2(y);
  y = conv2(at::silu_(y), state);
  return y.add_(shortcut ? (*shortcut)(x, state) : x);
}

MidBlock::MidBlock(const Weights& w, const std::string& name, std::int64_t dim, Slots& slots)
    : before(w, name + ".resnets.0", dim, dim, slots),
      after(w, name + ".resnets.1", dim, dim, slots),
      norm(channel_norm(w, name + ".attentions.0.norm", dim, /*images=*/true)) {
  const std::string attention = name + ".attentions.0.";
  qkv_weight = w.tensor(attention + "to_qkv.weight", {3 * dim, dim, 1, 1});
  qkv_bias = w.tensor(attention + "to_qkv.bias", {3 * dim});
  proj_weight = w.tensor(attention + "proj.weight", {dim, dim, 1, 1});
  proj_bias = w.tensor(attention + "proj.bias", {dim});
}

at::Tensor MidBlock::operator()(const at::Tensor& input, VaeState& state) const {
  at::Tensor x = before(input, state);
  const std::int64_t frames = x.size(0), dim = x.size(1);
  const at::Tensor qkv = at::conv2d(norm(x), qkv_weight, qkv_bias)
                             .view({frames, 1, 3 * dim, -1})
                             .transpose(2, 3)
                             .contiguous();
  const auto part = [&](std::int64_t i) { return qkv.narrow(3, i * dim, dim); };
  const at::Tensor out = at::scaled_dot_product_attention(part(0), part(1), part(2))
                             .squeeze(1)
                             .transpose(1, 2)
                             .reshape(x.sizes());
  x = at::conv2d(out, proj_weight, proj_bias).add_(x);
  return after(x, state);
}

}  // namespace bestreel::wan
