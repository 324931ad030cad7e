#include "sampler/wan/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <cmath>
#include <mutex>

#include "core/base/fail.h"
#include "core/nn/device.h"

namespace bestreel::wan {
namespace {

constexpr double kTheta = 10000;      // of the rotary embedding, fixed in the reference's class
constexpr double kMaxPeriod = 10000;  // of the timestep's sinusoids

// Layer norm in float32, then scale and shift per channel, in the dtype of x.
at::Tensor normalise(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                     double eps) {
  const auto given = [](const at::Tensor& t) {
    return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
  };
  return at::layer_norm(x.to(at::kFloat), {x.size(-1)}, given(scale), given(shift), eps)
      .to(x.scalar_type());
}

// x + y * gate in float32, rounded once; x is written to.
void add_gated(at::Tensor& x, const at::Tensor& y, const at::Tensor& gate) {
  if (x.scalar_type() == at::kFloat)
    x.addcmul_(y, gate);
  else
    x = at::addcmul(x.to(at::kFloat), y.to(at::kFloat), gate).to(x.scalar_type());
}

}  // namespace

// Made on the CPU, in double: once a size, so that no step waits for it to reach the device.
struct Transformer::Turns {
  std::mutex mutex;
  std::array<std::int64_t, 3> size{};
  at::Tensor rotation;
};

Transformer::Transformer(const Weights& w, const TransformerConfig& c)
    : config_(c), dtype_(w.dtype()), device_(w.device()), turns_(std::make_shared<Turns>()) {
  const std::int64_t dim = c.dim();
  const auto& p = c.patch_size;
  const std::int64_t pixels = p[0] * p[1] * p[2];
  patch_ = {w.tensor("patch_embedding.weight", {dim, c.in_channels, p[0], p[1], p[2]})
                .reshape({dim, c.in_channels * pixels}),
            w.tensor("patch_embedding.bias", {dim})};
  const std::string condition = "condition_embedder.";
  time_in_ = w.wide_linear(condition + "time_embedder.linear_1", dim, c.freq_dim);
  time_out_ = w.wide_linear(condition + "time_embedder.linear_2", dim, dim);
  time_project_ = w.linear(condition + "time_proj", 6 * dim, dim);
  text_in_ = w.linear(condition + "text_embedder.linear_1", dim, c.text_dim);
  text_out_ = w.linear(condition + "text_embedder.linear_2", dim, dim);
  const auto attention = [&](const std::string& name) {
    return Attention{
        w.linear(name + ".to_q", dim, dim),       w.linear(name + ".to_k", dim, dim),
        w.linear(name + ".to_v", dim, dim),       w.linear(name + ".to_out.0", dim, dim),
        w.tensor(name + ".norm_q.weight", {dim}), w.tensor(name + ".norm_k.weight", {dim})};
  };
  for (std::int64_t i = 0; i < c.num_layers; ++i) {
    const std::string name = fmt::format("blocks.{}.", i);
    Block b{.self = attention(name + "attn1"), .cross = attention(name + "attn2")};
    if (c.cross_attn_norm) {
      b.norm2_weight = w.to_fp32(name + "norm2.weight", {dim});
      b.norm2_bias = w.to_fp32(name + "norm2.bias", {dim});
    }
    b.ffn_in = w.linear(name + "ffn.net.0.proj", c.ffn_dim, dim);
    b.ffn_out = w.linear(name + "ffn.net.2", dim, c.ffn_dim);
    b.modulation = w.to_fp32(name + "scale_shift_table", {1, 6, dim}).view({6, dim});
    blocks_.push_back(std::move(b));
  }
  project_ = w.linear("proj_out", c.out_channels * pixels, dim);
  final_modulation_ = w.to_fp32("scale_shift_table", {1, 2, dim}).view({2, dim});
  const std::int64_t half = c.freq_dim / 2;
  frequency_ = at::arange(half, at::kFloat)
                   .mul(-std::log(kMaxPeriod))
                   .div(static_cast<double>(half))
                   .exp()
                   .to(device_);
}

// Complex numbers (tokens, 1, head_dim / 2) that turn pairs by the frame, the row and the column.
//
// Which pairs turn at which speed, and by which axis, the reference decides in two places, with
// 2 (d / 6) and with d / 3 of d = head_dim dimensions for rows and columns. Where these differ, a
// pair at the border has its cosine from one axis and its sine from another; models are trained so.
at::Tensor Transformer::make_rotation(std::int64_t frames, std::int64_t height,
                                      std::int64_t width) const {
  const std::int64_t head = config_.attention_head_dim, speeds = 2 * (head / 6), third = head / 3;
  const auto speed = [&](std::int64_t dim) {
    const at::Tensor exponent = at::arange(0, dim, 2, at::kDouble).div(static_cast<double>(dim));
    return at::pow(kTheta, exponent).reciprocal();
  };
  const at::Tensor all = at::cat({speed(head - 2 * speeds), speed(speeds), speed(speeds)});
  const at::Tensor place[3] = {at::arange(frames, at::kDouble).view({frames, 1, 1}),
                               at::arange(height, at::kDouble).view({1, height, 1}),
                               at::arange(width, at::kDouble).view({1, 1, width})};
  // Dimension 2 i (cosine) or 2 i + 1 (sine) of every pair, times its position.
  const auto angles = [&](std::int64_t odd) {
    std::vector<at::Tensor> columns;
    for (std::int64_t i = 0; i < head / 2; ++i) {
      const std::int64_t dim = 2 * i + odd, axis = dim < head - 2 * third ? 0
                                                   : dim < head - third   ? 1
                                                                          : 2;
      columns.push_back(place[axis].mul(all[i]).expand({frames, height, width}));
    }
    return at::stack(columns, -1).view({frames * height * width, 1, head / 2});
  };
  return nn::upload(at::complex(angles(0).cos().to(at::kFloat), angles(1).sin().to(at::kFloat)),
                    device_);
}

at::Tensor Transformer::rotation(std::int64_t frames, std::int64_t height,
                                 std::int64_t width) const {
  const std::array<std::int64_t, 3> size{frames, height, width};
  const std::lock_guard lock(turns_->mutex);
  if (turns_->size != size) {
    turns_->rotation = make_rotation(frames, height, width);
    turns_->size = size;
  }
  return turns_->rotation;
}

// (rows, dim) to (1, heads, rows, head_dim)
at::Tensor Transformer::heads(const at::Tensor& x) const {
  return x.view({1, x.size(0), config_.num_attention_heads, config_.attention_head_dim})
      .transpose(1, 2);
}

TextContext Transformer::context(const at::Tensor& text, std::int64_t padded) const {
  const std::int64_t rows = text.size(0), pads = padded - rows;
  const std::int64_t kept = device_.is_cpu() && pads > 1 ? 1 : pads;
  const at::Tensor input = at::constant_pad_nd(text.to(device_, dtype_), {0, 0, 0, kept});
  const at::Tensor x = text_out_(at::gelu(text_in_(input), "tanh"));
  TextContext context;
  for (const Block& b : blocks_) {
    const at::Tensor k = at::rms_norm(b.cross.k(x), {x.size(1)}, b.cross.norm_k, config_.eps);
    context.keys.push_back(heads(k));
    context.values.push_back(heads(b.cross.v(x)));
  }
  if (kept < pads) {
    context.bias = at::zeros({rows + 1}, at::TensorOptions(at::kFloat));
    context.bias[rows].fill_(std::log(static_cast<double>(pads)));
  }
  return context;
}

at::Tensor Transformer::self_attention(const Attention& a, const at::Tensor& x,
                                       const at::Tensor& rotation) const {
  const auto rotated = [&](const Linear& to, const at::Tensor& norm) {
    const at::Tensor y = at::rms_norm(to(x), {x.size(1)}, norm, config_.eps);
    const at::Tensor pairs =
        y.to(at::kFloat)
            .view({y.size(0), config_.num_attention_heads, config_.attention_head_dim / 2, 2});
    return heads(at::view_as_real(at::view_as_complex(pairs) * rotation)
                     .view(y.sizes())
                     .to(y.scalar_type()));
  };
  const at::Tensor out = at::scaled_dot_product_attention(rotated(a.q, a.norm_q),
                                                          rotated(a.k, a.norm_k), heads(a.v(x)));
  return a.out(out.transpose(1, 2).reshape(x.sizes()));
}

at::Tensor Transformer::cross_attention(const Attention& a, const at::Tensor& x,
                                        const TextContext& context, std::size_t layer) const {
  const at::Tensor q = heads(at::rms_norm(a.q(x), {x.size(1)}, a.norm_q, config_.eps));
  std::optional<at::Tensor> bias;
  if (context.bias.defined()) bias = context.bias.expand({1, 1, x.size(0), context.bias.size(0)});
  const at::Tensor out =
      at::scaled_dot_product_attention(q, context.keys[layer], context.values[layer], bias);
  return a.out(out.transpose(1, 2).reshape(x.sizes()));
}

void Transformer::block(const Block& b, at::Tensor& x, const at::Tensor& modulation,
                        const at::Tensor& rotation, const TextContext& context,
                        std::size_t layer) const {
  // shift, scale, gate of the attention, then of the feed-forward
  const at::Tensor m = b.modulation + modulation;
  add_gated(x, self_attention(b.self, normalise(x, m[1] + 1, m[0], config_.eps), rotation), m[2]);
  const at::Tensor query =
      b.norm2_weight.defined() ? normalise(x, b.norm2_weight, b.norm2_bias, config_.eps) : x;
  x = x + cross_attention(b.cross, query, context, layer);
  const at::Tensor inner = at::gelu(b.ffn_in(normalise(x, m[4] + 1, m[3], config_.eps)), "tanh");
  add_gated(x, b.ffn_out(inner), m[5]);
}

at::Tensor Transformer::velocity(const at::Tensor& latent, double timestep,
                                 const TextContext& context) const {
  const auto& p = config_.patch_size;
  const std::int64_t channels = latent.size(1), frames = latent.size(2) / p[0],
                     height = latent.size(3) / p[1], width = latent.size(4) / p[2];
  if (std::max({frames, height, width}) > config_.rope_max_seq_len)
    fail("size_unsupported", "transformer",
         "a video of {} x {} x {} patches has more than the {} positions per axis that the model "
         "knows: ask for a smaller or shorter one",
         frames, height, width, config_.rope_max_seq_len);
  const at::Tensor patches = latent.to(dtype_)
                                 .view({channels, frames, p[0], height, p[1], width, p[2]})
                                 .permute({1, 3, 5, 0, 2, 4, 6})
                                 .reshape({frames * height * width, channels * p[0] * p[1] * p[2]});
  at::Tensor x = patch_(patches);

  const at::Tensor phase = frequency_ * timestep;
  const at::Tensor sinusoids = at::cat({phase.cos(), phase.sin()}).unsqueeze(0);
  const at::Tensor time = time_out_(at::silu(time_in_(sinusoids))).to(dtype_);
  const at::Tensor modulation =
      time_project_(at::silu(time)).view({6, config_.dim()}).to(at::kFloat);

  const at::Tensor turn = rotation(frames, height, width);
  for (std::size_t i = 0; i < blocks_.size(); ++i)
    block(blocks_[i], x, modulation, turn, context, i);

  const at::Tensor last = final_modulation_ + time.to(at::kFloat);
  const at::Tensor out = project_(normalise(x, last[1] + 1, last[0], config_.eps));
  return out.view({frames, height, width, p[0], p[1], p[2], config_.out_channels})
      .permute({6, 0, 3, 1, 4, 2, 5})
      .reshape({1, config_.out_channels, frames * p[0], height * p[1], width * p[2]});
}

}  // namespace bestreel::wan
