#include "reward/videoscore2/language.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "reward/videoscore2/kernels/attention.h"

namespace bestreel::videoscore2 {
namespace {

// The MLP is several times as wide as the model: a long prompt goes through it in parts.
constexpr std::int64_t kMlpRows = 4096;

// Puts a row (kv_heads, head) in its place in a cache (kv_heads, capacity, head).
void store(const at::Tensor& cache, std::int64_t place, const at::Tensor& rows, std::int64_t row) {
  if (!cache.is_cpu()) {
    cache.select(1, place).copy_(rows[row]);
    return;
  }
  const std::int64_t bytes = cache.size(2) * static_cast<std::int64_t>(cache.element_size());
  const auto* from = static_cast<const char*>(rows.const_data_ptr()) + row * cache.size(0) * bytes;
  auto* to = static_cast<char*>(cache.mutable_data_ptr()) + place * bytes;
  for (std::int64_t head = 0; head < cache.size(0); ++head)
    std::memcpy(to + head * cache.size(1) * bytes, from + head * bytes,
                static_cast<std::size_t>(bytes));
}

void silu_by_row(at::Tensor& x) {
  if (!x.is_cpu()) {
    at::silu_(x);
    return;
  }
  for (at::Tensor row : x.unbind()) at::silu_(row);
}

}  // namespace

std::int64_t kv_bytes(const TextConfig& config, std::int64_t tokens, at::ScalarType dtype) {
  return 2 * config.num_layers * config.num_kv_heads * config.head_dim() * tokens *
         static_cast<std::int64_t>(c10::elementSize(dtype));
}

KvCache::KvCache(const TextConfig& config, std::int64_t capacity, at::TensorOptions options) {
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    keys_.push_back(at::empty({config.num_kv_heads, capacity, config.head_dim()}, options));
    values_.push_back(at::empty({config.num_kv_heads, capacity, config.head_dim()}, options));
  }
}

KvCache KvCache::fork(std::shared_ptr<const KvCache> prefix, std::int64_t capacity) {
  KvCache out;
  const bool shared = prefix->keys_.at(0).is_cpu();
  const auto continued = [&](const at::Tensor& old) {
    const std::int64_t kept = shared ? 0 : prefix->length_;
    at::Tensor tensor = at::empty({old.size(0), kept + capacity, old.size(2)}, old.options());
    tensor.narrow(1, 0, kept).copy_(old.narrow(1, 0, kept));
    return tensor;
  };
  for (std::size_t i = 0; i < prefix->keys_.size(); ++i) {
    out.keys_.push_back(continued(prefix->keys_[i]));
    out.values_.push_back(continued(prefix->values_[i]));
  }
  if (shared)
    out.prefix_ = std::move(prefix);
  else
    out.length_ = prefix->length_;
  return out;
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

Rope LanguageModel::make_rope(const at::Tensor& positions) const {
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

Rope LanguageModel::make_rope(std::int64_t first, std::int64_t count) const {
  return make_rope(
      at::arange(first, first + count, frequency_.options().dtype(at::kLong)).expand({3, count}));
}

at::Tensor LanguageModel::prompt_attention(const Layer& layer, const at::Tensor& x,
                                           const Rope& rope, at::Tensor& keys, at::Tensor& values,
                                           std::int64_t queries) const {
  const std::int64_t n = x.size(0), head = config_.head_dim(), kv = config_.num_kv_heads;
  const std::int64_t group = config_.num_heads / kv, skipped = n - queries;
  keys.narrow(1, 0, n).copy_(rotate(layer.k(x).view({n, kv, head}), rope).transpose(0, 1));
  values.narrow(1, 0, n).copy_(layer.v(x).view({n, kv, head}).transpose(0, 1));

  const Rope last{rope.cos.narrow(0, skipped, queries), rope.sin.narrow(0, skipped, queries)};
  const at::Tensor q =
      rotate(layer.q(x.narrow(0, skipped, queries)).view({queries, kv * group, head}), last)
          .view({queries, kv, group, head})
          .permute({1, 2, 0, 3});
  // The queries of a group share their key head: a stride of zero, not a copy.
  const auto shared = [&](const at::Tensor& cache) {
    return cache.narrow(1, 0, n).unsqueeze(1).expand({kv, group, n, head});
  };
  // The last query alone sees every key.
  return layer.o(at::scaled_dot_product_attention(q, shared(keys), shared(values), {},
                                                  /*dropout_p=*/0.0, /*is_causal=*/queries > 1)
                     .permute({2, 0, 1, 3})
                     .reshape({queries, kv * group * head}));
}

at::Tensor LanguageModel::prefill(const at::Tensor& embeddings, const at::Tensor& positions,
                                  KvCache& cache, bool last_only,
                                  const std::function<void()>& check) const {
  const Rope rope = make_rope(positions);
  const std::int64_t n = embeddings.size(0);
  at::Tensor x = embeddings.clone();
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (check) check();
    const Layer& layer = layers_[i];
    const std::int64_t queries = last_only && i + 1 == layers_.size() ? 1 : n;
    const at::Tensor attended = prompt_attention(layer, layer.attention_norm(x), rope,
                                                 cache.keys_[i], cache.values_[i], queries);
    x = x.narrow(0, n - queries, queries);
    x.add_(attended);
    for (std::int64_t row = 0; row < queries; row += kMlpRows) {
      at::Tensor part = x.narrow(0, row, std::min(kMlpRows, queries - row));
      const at::Tensor y = layer.mlp_norm(part);
      at::Tensor gate = layer.gate(y);
      part.add_(layer.down(at::silu_(gate).mul_(layer.up(y))));
    }
  }
  cache.length_ = n;
  return norm_(x);
}

at::Tensor LanguageModel::decode_attention(std::size_t layer, const at::Tensor& q,
                                           const at::Tensor& k, const at::Tensor& v,
                                           std::span<const DecodeRow> rows) const {
  const std::int64_t head = config_.head_dim(), kv = config_.num_kv_heads;
  const std::int64_t group = config_.num_heads / kv;
  at::Tensor out = at::zeros({q.size(0), kv, group, head}, q.options());  // padding stays zero
  std::vector<std::int64_t> places;  // of each row's token among its cache's own
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const bool again = r > 0 && rows[r - 1].cache == rows[r].cache;
    places.push_back(again ? places.back() + 1 : rows[r].cache->length_);
    store(rows[r].cache->keys_[layer], places[r], k, static_cast<std::int64_t>(r));
    store(rows[r].cache->values_[layer], places[r], v, static_cast<std::int64_t>(r));
  }
  if (q.is_cpu()) {
    attend_on_cpu(layer, q, out, rows, places);
  } else {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto row = static_cast<std::int64_t>(r);
      const std::int64_t length = places[r] + 1;
      const auto shared = [&](const at::Tensor& cache) {
        return cache.narrow(1, 0, length).unsqueeze(1).expand({kv, group, length, head});
      };
      out[row].copy_(at::scaled_dot_product_attention(q[row].view({kv, group, 1, head}),
                                                      shared(rows[r].cache->keys_[layer]),
                                                      shared(rows[r].cache->values_[layer]))
                         .squeeze(2));
    }
  }
  return out.view({q.size(0), kv * group * head});
}

void LanguageModel::attend_on_cpu(std::size_t layer, const at::Tensor& q, at::Tensor& out,
                                  std::span<const DecodeRow> rows,
                                  std::span<const std::int64_t> places) const {
  const std::int64_t head = config_.head_dim(), width = config_.num_heads * head;
  const Element element = activations_ == at::kBFloat16 ? Element::kBFloat16 : Element::kFloat32;
  const AttentionShape shape{.kv_heads = config_.num_kv_heads,
                             .group = config_.num_heads / config_.num_kv_heads,
                             .head = head,
                             .scale = 1 / std::sqrt(static_cast<float>(head)),
                             .activations = element,
                             .cache = element};
  const auto* query = static_cast<const char*>(q.const_data_ptr());
  auto* result = static_cast<char*>(out.mutable_data_ptr());
  const auto bytes = static_cast<std::size_t>(width) * q.element_size();
  std::vector<std::array<KvPart, 2>> parts(rows.size());
  std::vector<AttentionRow> attention;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const KvCache& cache = *rows[r].cache;
    std::size_t count = 0;
    const auto add = [&](const KvCache& part, std::int64_t length) {
      parts[r][count++] = {part.keys_[layer].const_data_ptr(), part.values_[layer].const_data_ptr(),
                           part.keys_[layer].stride(0), length};
    };
    if (cache.prefix_) add(*cache.prefix_, cache.prefix_->length_);
    add(cache, places[r] + 1);
    attention.push_back({query + r * bytes, {parts[r].data(), count}, result + r * bytes});
  }
  attend(shape, attention);
}

at::Tensor LanguageModel::decode(const at::Tensor& embeddings,
                                 std::span<const DecodeRow> rows) const {
  const std::int64_t n = embeddings.size(0), head = config_.head_dim();
  std::vector<at::Tensor> cos, sin;
  for (const DecodeRow& row : rows) {
    cos.push_back(row.rope.cos);
    sin.push_back(row.rope.sin);
  }
  for (auto padding = static_cast<std::int64_t>(rows.size()); padding < n; ++padding) {
    cos.push_back(cos.front());
    sin.push_back(sin.front());
  }
  const Rope rope{at::stack(cos), at::stack(sin)};  // (n, 1, head/2)
  at::Tensor x = embeddings.clone();
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    at::Tensor y = layer.attention_norm(x);
    const at::Tensor q = rotate(layer.q(y).view({n, config_.num_heads, head}), rope);
    const at::Tensor k = rotate(layer.k(y).view({n, config_.num_kv_heads, head}), rope);
    const at::Tensor v = layer.v(y).view({n, config_.num_kv_heads, head});
    x.add_(layer.o(decode_attention(i, q, k, v, rows)));
    y = layer.mlp_norm(x);
    at::Tensor gate = layer.gate(y);
    silu_by_row(gate);
    x.add_(layer.down(gate.mul_(layer.up(y))));
  }
  for (const DecodeRow& row : rows) ++row.cache->length_;
  return norm_(x);
}

at::Tensor LanguageModel::logits(const at::Tensor& hidden) const {
  return head_(hidden).to(at::kFloat);
}

}  // namespace bestreel::videoscore2
