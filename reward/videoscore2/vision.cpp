#include "reward/videoscore2/vision.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>

namespace bestreel::videoscore2 {
namespace {

constexpr double kEpsilon = 1e-6;      // fixed in the reference's class
constexpr double kTheta = 10000;       // fixed in the reference's class
constexpr std::int64_t kChunk = 8192;  // patches at a time, or one temporal patch if it has more

}  // namespace

VisionModel::VisionModel(const Weights& weights, const VisionConfig& c)
    : config_(c), activations_(weights.activations()) {
  const std::int64_t hidden = c.hidden_size;
  const std::int64_t pixels = c.in_channels * c.temporal_patch_size * c.patch_size * c.patch_size;
  embed_.weight =
      weights
          .matrix("visual.patch_embed.proj.weight",
                  {hidden, c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size})
          .view({hidden, pixels});
  for (std::int64_t i = 0; i < c.depth; ++i) {
    const std::string name = fmt::format("visual.blocks.{}.", i);
    const auto& full = c.full_attention_blocks;
    blocks_.push_back({
        .norm1 = weights.norm(name + "norm1", hidden, kEpsilon),
        .norm2 = weights.norm(name + "norm2", hidden, kEpsilon),
        .qkv = weights.linear(name + "attn.qkv", 3 * hidden, hidden, true),
        .proj = weights.linear(name + "attn.proj", hidden, hidden, true),
        .gate = weights.linear(name + "mlp.gate_proj", c.intermediate_size, hidden, true),
        .up = weights.linear(name + "mlp.up_proj", c.intermediate_size, hidden, true),
        .down = weights.linear(name + "mlp.down_proj", hidden, c.intermediate_size, true),
        .full = std::find(full.begin(), full.end(), i) != full.end(),
    });
  }
  const std::int64_t merged = hidden * c.spatial_merge_size * c.spatial_merge_size;
  merger_norm_ = weights.norm("visual.merger.ln_q", hidden, kEpsilon);
  merger_in_ = weights.linear("visual.merger.mlp.0", merged, merged, true);
  merger_out_ = weights.linear("visual.merger.mlp.2", c.out_hidden_size, merged, true);
}

Rope VisionModel::make_rope(std::int64_t grid_h, std::int64_t grid_w, const WindowLayout& layout,
                            at::Device device) const {
  const std::int64_t unit = config_.spatial_merge_size * config_.spatial_merge_size;
  const PatchCoordinates at = patch_coordinates(grid_h, grid_w, config_.spatial_merge_size);
  std::vector<std::int64_t> rows, columns;
  for (const std::int64_t merged : layout.index)
    for (std::int64_t i = 0; i < unit; ++i) {
      rows.push_back(at.rows[static_cast<std::size_t>(merged * unit + i)]);
      columns.push_back(at.columns[static_cast<std::size_t>(merged * unit + i)]);
    }
  const std::int64_t head = config_.hidden_size / config_.num_heads;
  const at::Tensor frequency = inverse_frequencies(head / 2, kTheta);
  const auto angles = [&](const std::vector<std::int64_t>& positions) {
    return at::tensor(positions, at::kLong).to(at::kFloat).unsqueeze(1).mul(frequency);
  };
  const at::Tensor angle = at::cat({angles(rows), angles(columns)}, 1).view({-1, 1, 1, head / 2});
  return {angle.cos().to(device), angle.sin().to(device)};
}

at::Tensor VisionModel::attention(const Block& block, const at::Tensor& x, std::int64_t frames,
                                  const WindowLayout& layout, const Rope& rope) const {
  const std::int64_t heads = config_.num_heads, head = config_.hidden_size / heads;
  const std::int64_t rows = x.size(0), frame = rows / frames;
  const at::Tensor qkv = block.qkv(x).view({frames, frame, 3, heads, head});
  // The reference rotates in float32 whatever the activations are.
  const at::Tensor qk = rotate(qkv.narrow(2, 0, 2).to(at::kFloat), rope).to(x.scalar_type());
  at::Tensor out = at::empty({rows, heads, head}, x.options());
  const at::Tensor q = qk.select(2, 0), k = qk.select(2, 1), v = qkv.select(2, 2);

  // (segments, patches, heads, head), attention inside each segment
  const auto attend = [&](const at::Tensor& sq, const at::Tensor& sk, const at::Tensor& sv) {
    return at::scaled_dot_product_attention(sq.transpose(1, 2), sk.transpose(1, 2),
                                            sv.transpose(1, 2))
        .transpose(1, 2);
  };
  if (block.full) {
    out.view({frames, frame, heads, head}).copy_(attend(q, k, v));
  } else {
    for (std::int64_t t = 0; t < frames; ++t) {
      std::int64_t begin = 0;
      for (const auto& [windows, patches] : layout.groups) {
        const auto part = [&](const at::Tensor& y) {
          return y.select(0, t)
              .narrow(0, begin, windows * patches)
              .unflatten(0, {windows, patches});
        };
        out.narrow(0, t * frame + begin, windows * patches)
            .view({windows, patches, heads, head})
            .copy_(attend(part(q), part(k), part(v)));
        begin += windows * patches;
      }
    }
  }
  return block.proj(out.view({rows, heads * head}));
}

at::Tensor VisionModel::chunk(const at::Tensor& patches, std::int64_t frames,
                              const WindowLayout& layout, const at::Tensor& order,
                              const Rope& rope) const {
  const std::int64_t unit = config_.spatial_merge_size * config_.spatial_merge_size;
  const std::int64_t hidden = config_.hidden_size;
  at::Tensor x = embed_(patches.to(activations_))
                     .view({-1, unit * hidden})
                     .index_select(0, order)
                     .view({-1, hidden});
  for (const Block& block : blocks_) {
    x.add_(attention(block, block.norm1(x), frames, layout, rope));
    const at::Tensor y = block.norm2(x);
    at::Tensor gate = block.gate(y);
    x.add_(block.down(at::silu_(gate).mul_(block.up(y))));
  }
  return merger_out_(at::gelu(merger_in_(merger_norm_(x).view({-1, unit * hidden}))));
}

at::Tensor VisionModel::operator()(const at::Tensor& patches, const Grid& grid,
                                   const std::function<void()>& check) const {
  const std::int64_t unit = config_.spatial_merge_size * config_.spatial_merge_size;
  const std::int64_t frame = grid[1] * grid[2], merged = frame / unit;
  const WindowLayout layout = window_layout(grid[1], grid[2], config_);
  const Rope rope = make_rope(grid[1], grid[2], layout, patches.device());
  const std::int64_t step = std::max<std::int64_t>(1, kChunk / frame);

  at::Tensor out =
      at::empty({grid[0] * merged, config_.out_hidden_size}, patches.options().dtype(activations_));
  for (std::int64_t t = 0; t < grid[0]; t += step) {
    if (check) check();
    const std::int64_t frames = std::min(step, grid[0] - t);
    std::vector<std::int64_t> index;
    for (std::int64_t f = 0; f < frames; ++f)
      for (const std::int64_t i : layout.index) index.push_back(f * merged + i);
    const at::Tensor order = at::tensor(index, at::kLong).to(patches.device());
    const at::Tensor embeddings =
        chunk(patches.narrow(0, t * frame, frames * frame), frames, layout, order, rope);
    out.narrow(0, t * merged, frames * merged).index_copy_(0, order, embeddings);
  }
  return out;
}

}  // namespace bestreel::videoscore2
