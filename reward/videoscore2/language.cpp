#include "reward/videoscore2/language.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace bestreel::videoscore2 {
namespace {

// The MLP is several times as wide as the model: a long prompt goes through it in parts.
constexpr std::int64_t kMlpRows = 4096;

}  // namespace

KvCache::KvCache(const TextConfig& config, std::int64_t capacity, at::TensorOptions options)
    : capacity_(capacity) {
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    keys_.push_back(at::empty({config.num_kv_heads, capacity, config.head_dim()}, options));
    values_.push_back(at::empty({config.num_kv_heads, capacity, config.head_dim()}, options));
  }
}

LanguageModel::LanguageModel(const Weights& weights, const TextConfig& c)
    : config_(c), activations_(weights.activations()) {
  const std::int64_t hidden = c.hidden_size, kv = c.num_kv_heads * c.head_dim();
  embedding_ = weights.matrix("model.embed_tokens.weight", {c.vocab_size, hidden});
  frequency_ = inverse_frequencies(c.head_dim(), c.rope_theta).to(embedding_.device());
  for (std::int64_t i = 0; i < c.num_layers; ++i) {
    const std::string name = fmt::format("model.layers.{}.", i);
    layers_.push_back({
        .attention_norm = weights.norm(name + "input_layernorm", hidden, c.rms_norm_eps),
        .mlp_norm = weights.norm(name + "post_attention_layernorm", hidden, c.rms_norm_eps),
        .q = weights.linear(name + "self_attn.q_proj", hidden, hidden, true),
        .k = weights.linear(name + "self_attn.k_proj", kv, hidden, true),
        .v = weights.linear(name + "self_attn.v_proj", kv, hidden, true),
        .o = weights.linear(name + "self_attn.o_proj", hidden, hidden, false),
        .gate = weights.linear(name + "mlp.gate_proj", c.intermediate_size, hidden, false),
        .up = weights.linear(name + "mlp.up_proj", c.intermediate_size, hidden, false),
        .down = weights.linear(name + "mlp.down_proj", hidden, c.intermediate_size, false),
    });
  }
  norm_ = weights.norm("model.norm", hidden, c.rms_norm_eps);
  head_ = c.tie_word_embeddings ? Linear{embedding_, {}}
                                : weights.linear("lm_head", c.vocab_size, hidden, false);
}

at::Tensor LanguageModel::embed(const at::Tensor& ids) const {
  return at::index_select(embedding_, 0, ids).to(activations_);
}

Rotation LanguageModel::rotation(const at::Tensor& positions) const {
  // (3, n, head/2), then each frequency takes the axis that its section names.
  const at::Tensor angle = positions.to(at::kFloat).unsqueeze(-1).mul(frequency_);
  std::vector<at::Tensor> parts;
  std::int64_t begin = 0;
  for (std::int64_t axis = 0; axis < 3; ++axis) {
    const std::int64_t size = config_.mrope_section[static_cast<std::size_t>(axis)];
    parts.push_back(angle.select(0, axis).narrow(1, begin, size));
    begin += size;
  }
  const at::Tensor mixed = at::cat(parts, 1).unsqueeze(1);  // (n, 1, head/2)
  return {mixed.cos().to(activations_), mixed.sin().to(activations_)};
}

at::Tensor LanguageModel::attention(const Layer& layer, const at::Tensor& x, const Rotation& turn,
                                    at::Tensor& keys, at::Tensor& values, std::int64_t past,
                                    std::int64_t queries) const {
  const std::int64_t n = x.size(0), head = config_.head_dim(), kv = config_.num_kv_heads;
  const std::int64_t group = config_.num_heads / kv, total = past + n, skipped = n - queries;
  keys.narrow(1, past, n).copy_(rotate(layer.k(x).view({n, kv, head}), turn).transpose(0, 1));
  values.narrow(1, past, n).copy_(layer.v(x).view({n, kv, head}).transpose(0, 1));

  const Rotation last{turn.cos.narrow(0, skipped, queries), turn.sin.narrow(0, skipped, queries)};
  const at::Tensor q =
      rotate(layer.q(x.narrow(0, skipped, queries)).view({queries, kv * group, head}), last)
          .view({queries, kv, group, head})
          .permute({1, 2, 0, 3});
  // The queries of a group share their key head: a stride of zero, not a copy.
  const auto shared = [&](const at::Tensor& cache) {
    return cache.narrow(1, 0, total).unsqueeze(1).expand({kv, group, total, head});
  };
  // is_causal aligns the first query with the first key: right only for a whole prompt.
  const bool causal = queries > 1 && queries == total;
  std::optional<at::Tensor> mask;
  if (queries > 1 && !causal) {
    const at::Tensor key = at::arange(total, x.options().dtype(at::kLong));
    const at::Tensor query =
        at::arange(total - queries, total, x.options().dtype(at::kLong)).unsqueeze(1);
    mask = at::zeros({queries, total}, x.options())
               .masked_fill_(key.gt(query), -std::numeric_limits<double>::infinity());
  }
  return layer.o(at::scaled_dot_product_attention(q, shared(keys), shared(values), mask,
                                                  /*dropout_p=*/0.0, causal)
                     .permute({2, 0, 1, 3})
                     .reshape({queries, kv * group * head}));
}

at::Tensor LanguageModel::forward(const at::Tensor& embeddings, const at::Tensor& positions,
                                  KvCache& cache, bool last_only,
                                  const std::function<void()>& check) const {
  const Rotation turn = rotation(positions);
  const std::int64_t n = embeddings.size(0), past = cache.length_;
  at::Tensor x = embeddings.clone();
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (check) check();
    const Layer& layer = layers_[i];
    const std::int64_t queries = last_only && i + 1 == layers_.size() ? 1 : n;
    const at::Tensor attended = attention(layer, layer.attention_norm(x), turn, cache.keys_[i],
                                          cache.values_[i], past, queries);
    x = x.narrow(0, n - queries, queries);
    x.add_(attended);
    for (std::int64_t row = 0; row < queries; row += kMlpRows) {
      at::Tensor part = x.narrow(0, row, std::min(kMlpRows, queries - row));
      const at::Tensor y = layer.mlp_norm(part);
      at::Tensor gate = layer.gate(y);
      part.add_(layer.down(at::silu_(gate).mul_(layer.up(y))));
    }
  }
  cache.length_ = past + n;
  return norm_(x);
}

at::Tensor LanguageModel::logits(const at::Tensor& hidden) const {
  return head_(hidden).to(at::kFloat);
}

}  // namespace bestreel::videoscore2
