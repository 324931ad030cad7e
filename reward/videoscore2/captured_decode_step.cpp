#include "reward/videoscore2/captured_decode_step.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "core/nn/device.h"

namespace bestreel::videoscore2 {

std::int64_t CapturedDecodeStep::capacity_for(std::int64_t tokens) {
  constexpr std::int64_t kLeast = 256;
  return static_cast<std::int64_t>(
      std::bit_ceil(static_cast<std::uint64_t>(std::max(kLeast, tokens))));
}

CapturedDecodeStep::CapturedDecodeStep(const LanguageModel& model, std::int64_t rows,
                                       std::int64_t capacity)
    : model_(model), rows_(rows), capacity_(capacity) {
  const TextConfig& c = model.config_;
  const at::TensorOptions options =
      at::TensorOptions().dtype(model.activations_).device(model.embedding_.device());
  input_ = at::zeros({3, rows}, options.dtype(at::kLong));
  places_ = at::arange(capacity, options.dtype(at::kLong));
  // Zeros, not whatever the memory holds: a masked place is weighted with zero, and zero times NaN
  // is NaN.
  for (std::int64_t i = 0; i < c.num_layers; ++i) {
    keys_.push_back(at::zeros({rows, c.num_kv_heads, capacity, c.head_dim()}, options));
    values_.push_back(at::zeros({rows, c.num_kv_heads, capacity, c.head_dim()}, options));
  }
  hidden_ = at::zeros({rows, c.hidden_size}, options);
}

void CapturedDecodeStep::join(std::int64_t row, const KvCache& prompt) {
  const std::int64_t length = prompt.length();
  const auto fill = [&](const at::Tensor& mine, const at::Tensor& prompts) {
    mine.narrow(1, 0, length).copy_(prompts.narrow(1, 0, length));
    mine.narrow(1, length, capacity_ - length).zero_();  // the last reading may have ended in NaN
  };
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    fill(keys_[i][row], prompt.keys_[i]);
    fill(values_[i][row], prompt.values_[i]);
  }
}

const at::Tensor& CapturedDecodeStep::run(std::span<const Token> tokens) {
  const at::Tensor host = at::empty({3, rows_}, at::kLong);
  auto* ids = host.mutable_data_ptr<std::int64_t>();
  for (std::int64_t r = 0; r < rows_; ++r) {
    const Token& token = tokens[static_cast<std::size_t>(r)];
    ids[r] = token.id;
    ids[rows_ + r] = token.length;
    ids[2 * rows_ + r] = token.position;
  }
  input_.copy_(nn::upload(host, input_.device()));
  if (!graph_) graph_ = nn::Graph::capture(input_.device(), [this] { step(); });
  graph_->replay();
  return hidden_;
}

// Everything here is on the device, of one shape, and leaves the same however often it runs.
void CapturedDecodeStep::step() {
  const TextConfig& c = model_.config_;
  const std::int64_t head = c.head_dim(), kv = c.num_kv_heads, group = c.num_heads / kv;
  const at::Tensor lengths = input_[1];
  at::Tensor x = model_.embed(input_[0]);
  const Rope rope = model_.make_rope(input_[2].expand({3, rows_}));
  const at::Tensor unseen = places_.gt(lengths.unsqueeze(1)).view({rows_, 1, 1, capacity_});
  const at::Tensor mask = at::zeros({rows_, 1, 1, capacity_}, x.options())
                              .masked_fill_(unseen, -std::numeric_limits<double>::infinity());
  const at::Tensor place = lengths.view({rows_, 1, 1, 1}).expand({rows_, kv, 1, head});
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const auto& layer = model_.layers_[i];
    at::Tensor y = layer.attention_norm(x);
    keys_[i].scatter_(2, place,
                      rotate(layer.k(y).view({rows_, kv, head}), rope).view({rows_, kv, 1, head}));
    values_[i].scatter_(2, place, layer.v(y).view({rows_, kv, 1, head}));
    // The queries of a group share their key head: they stand where a prompt's queries would.
    const at::Tensor q =
        rotate(layer.q(y).view({rows_, c.num_heads, head}), rope).view({rows_, kv, group, head});
    x.add_(layer.o(at::scaled_dot_product_attention(q, keys_[i], values_[i], mask)
                       .reshape({rows_, c.num_heads * head})));
    y = layer.mlp_norm(x);
    at::Tensor gate = layer.gate(y);
    x.add_(layer.down(at::silu_(gate).mul_(layer.up(y))));
  }
  hidden_.copy_(model_.norm_(x));
}

}  // namespace bestreel::videoscore2
