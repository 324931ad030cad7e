#include "sampler/wan/text_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "core/base/fail.h"

namespace bestreel::wan {

TextEncoder::TextEncoder(const Weights& w, const TextConfig& c) : config_(c), device_(w.device()) {
  const std::int64_t inner = c.num_heads * c.d_kv;
  // Some copies hold the table twice, some under one of the two names.
  embedding_ = w.tensor(w.has("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight",
                        {c.vocab_size, c.d_model});
  for (std::int64_t i = 0; i < c.num_layers; ++i) {
    const std::string name = fmt::format("encoder.block.{}.layer.", i);
    const std::string attention = name + "0.SelfAttention.", ff = name + "1.DenseReluDense.";
    layers_.push_back({
        .norm1 = w.tensor(name + "0.layer_norm.weight", {c.d_model}),
        .norm2 = w.tensor(name + "1.layer_norm.weight", {c.d_model}),
        .q = w.linear(attention + "q", inner, c.d_model, false),
        .k = w.linear(attention + "k", inner, c.d_model, false),
        .v = w.linear(attention + "v", inner, c.d_model, false),
        .o = w.linear(attention + "o", c.d_model, inner, false),
        .gate = w.linear(ff + "wi_0", c.d_ff, c.d_model, false),
        .up = w.linear(ff + "wi_1", c.d_ff, c.d_model, false),
        .down = w.linear(ff + "wo", c.d_model, c.d_ff, false),
        .bias = w.tensor(attention + "relative_attention_bias.weight",
                         {c.relative_buckets, c.num_heads}),
    });
  }
  final_norm_ = w.tensor("encoder.final_layer_norm.weight", {c.d_model});
}

at::Tensor TextEncoder::norm(const at::Tensor& x, const at::Tensor& weight) const {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor variance = wide.square().mean(-1, /*keepdim=*/true);
  return wide.mul(at::rsqrt(variance.add_(config_.eps))).to(x.scalar_type()).mul_(weight);
}

// The bucket of each distance (size, size): half of them for each direction, of these half exact
// and half logarithmic up to the longest distance.
at::Tensor TextEncoder::buckets(std::int64_t size) const {
  const std::int64_t half = config_.relative_buckets / 2, exact = half / 2;
  const at::Tensor place = at::arange(size, at::kLong);
  const at::Tensor distance = place.unsqueeze(0) - place.unsqueeze(1);
  const at::Tensor away = distance.abs();
  const double range =
      std::log(static_cast<double>(config_.relative_max_distance) / static_cast<double>(exact));
  const at::Tensor log_steps = away.to(at::kFloat)
                                   .div(static_cast<double>(exact))
                                   .log()
                                   .div(range)
                                   .mul(static_cast<double>(half - exact));
  const at::Tensor far =
      at::minimum(log_steps.clamp_min(0).to(at::kLong) + exact, at::full_like(away, half - 1));
  return (at::where(away < exact, away, far) + (distance > 0).to(at::kLong) * half).to(device_);
}

at::Tensor TextEncoder::encode(const std::vector<std::int64_t>& ids) const {
  const auto bad = std::find_if(
      ids.begin(), ids.end(), [&](std::int64_t id) { return id < 0 || id >= config_.vocab_size; });
  if (bad != ids.end())
    fail(
        "checkpoint_unsupported", "text",
        "the tokenizer gave the id {} but the text encoder knows {} ids: the two folders belong to "
        "different models, download both again",
        *bad, config_.vocab_size);
  const auto size = static_cast<std::int64_t>(ids.size());
  const at::Tensor bucket = buckets(size);
  at::Tensor x = at::embedding(embedding_, at::tensor(ids, at::kLong).to(device_));
  const auto heads = [&](const at::Tensor& y) {
    return y.view({size, config_.num_heads, config_.d_kv}).transpose(0, 1);
  };
  for (const Layer& layer : layers_) {
    const at::Tensor h = norm(x, layer.norm1);
    const at::Tensor bias = at::embedding(layer.bias, bucket).permute({2, 0, 1});
    // No division by sqrt(d_kv): the family is trained without.
    const at::Tensor scores =
        at::matmul(heads(layer.q(h)), heads(layer.k(h)).transpose(1, 2)) + bias;
    const at::Tensor weights = at::softmax(scores, -1, at::kFloat).to(x.scalar_type());
    const at::Tensor mixed = at::matmul(weights, heads(layer.v(h)));
    x = x + layer.o(mixed.transpose(0, 1).reshape({size, config_.num_heads * config_.d_kv}));
    const at::Tensor f = norm(x, layer.norm2);
    x = x + layer.down(at::gelu(layer.gate(f), "tanh").mul_(layer.up(f)));
  }
  return norm(x, final_norm_);
}

}  // namespace bestreel::wan
