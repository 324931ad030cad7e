#include "reward/videoscore2/kernels/attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace bestreel::videoscore2 {
namespace {

float load(Element type, const void* data, std::int64_t i) {
  if (type == Element::kFloat32) return static_cast<const float*>(data)[i];
  return std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<const std::uint16_t*>(data)[i])
                              << 16);
}

void store(Element type, void* data, std::int64_t i, float value) {
  if (type == Element::kFloat32) {
    static_cast<float*>(data)[i] = value;
    return;
  }
  const auto bits = std::bit_cast<std::uint32_t>(value);
  static_cast<std::uint16_t*>(data)[i] =
      value == value ? static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
                     : 0x7FC0;
}

void attend_head(const AttentionShape& s, const AttentionRow& row, std::int64_t query_head) {
  const std::int64_t kv = query_head / s.group, q = query_head * s.head;
  std::vector<float> weights;
  for (const KvPart& part : row.parts)
    for (std::int64_t p = 0; p < part.length; ++p) {
      float sum = 0;
      for (std::int64_t d = 0; d < s.head; ++d)
        sum += load(s.activations, row.query, q + d) *
               load(s.cache, part.keys, kv * part.stride + p * s.head + d);
      weights.push_back(sum * s.scale);
    }
  const float top = *std::max_element(weights.begin(), weights.end());
  float total = 0;
  for (float& w : weights) total += w = std::exp(w - top);
  std::vector<float> out(static_cast<std::size_t>(s.head));
  const float* w = weights.data();
  for (const KvPart& part : row.parts)
    for (std::int64_t p = 0; p < part.length; ++p, ++w)
      for (std::int64_t d = 0; d < s.head; ++d)
        out[static_cast<std::size_t>(d)] +=
            *w * load(s.cache, part.values, kv * part.stride + p * s.head + d);
  for (std::int64_t d = 0; d < s.head; ++d)
    store(s.activations, row.out, q + d, out[static_cast<std::size_t>(d)] / total);
}

}  // namespace

void attend(const AttentionShape& shape, std::span<const AttentionRow> rows) {
  const std::int64_t heads = shape.kv_heads * shape.group;
  at::parallel_for(0, static_cast<std::int64_t>(rows.size()) * heads, 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i)
                       attend_head(shape, rows[static_cast<std::size_t>(i / heads)], i % heads);
                   });
}

}  // namespace bestreel::videoscore2
