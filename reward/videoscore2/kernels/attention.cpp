#include "reward/videoscore2/kernels/attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/fail.h"
#include "reward/videoscore2/kernels/attention_detail.h"
#include "reward/videoscore2/kernels/bfloat16.h"
#include "reward/videoscore2/kernels/isa.h"

namespace bestreel::videoscore2 {
namespace {

using attention_detail::Block;
using attention_detail::kBlock;

using BlockKernel = void (*)(const Block&);

BlockKernel kernel_for(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return attention_detail::avx2_block;
    case Isa::kAvx512:
    case Isa::kAvx512Bf16:
      return attention_detail::avx512_block;
#endif
    default:
      return attention_detail::portable_block;
  }
}

/// Scaled queries in float32, (kv_heads * group, padded), and what the blocks leave behind.
struct Workspace {
  std::int64_t length = 0, first = 0;  ///< positions; index of the row's first block
  std::vector<float> queries;
};

float element(Element type, const void* data, std::int64_t i) {
  return type == Element::kFloat32 ? static_cast<const float*>(data)[i]
                                   : from_bf16(static_cast<const std::uint16_t*>(data)[i]);
}

}  // namespace

void attend(const AttentionShape& s, std::span<const AttentionRow> rows) {
  if (s.head > attention_detail::kMaxHead)
    fail("checkpoint_unsupported", "judge", "a head must have at most {} elements but has {}",
         attention_detail::kMaxHead, s.head);
  const std::int64_t heads = s.kv_heads * s.group, padded = (s.head + 15) / 16 * 16;
  std::vector<Workspace> work(rows.size());
  std::int64_t blocks = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    Workspace& w = work[r];
    for (const KvPart& part : rows[r].parts) w.length += part.length;
    w.first = blocks;
    blocks += s.kv_heads * ((w.length + kBlock - 1) / kBlock);
    w.queries.resize(static_cast<std::size_t>(heads * padded));
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t d = 0; d < s.head; ++d)
        w.queries[static_cast<std::size_t>(h * padded + d)] =
            s.scale * element(s.activations, rows[r].query, h * s.head + d);
  }
  // (block, group): top, total and weighted sum.
  const auto groups = static_cast<std::size_t>(blocks * s.group);
  std::vector<float> top(groups), total(groups), out(groups * static_cast<std::size_t>(padded));

  const BlockKernel kernel = kernel_for(current_isa());
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    auto r = static_cast<std::size_t>(
        std::upper_bound(work.begin(), work.end(), begin,
                         [](std::int64_t i, const Workspace& w) { return i < w.first; }) -
        work.begin() - 1);
    for (std::int64_t i = begin; i < end; ++i) {
      while (r + 1 < work.size() && work[r + 1].first <= i) ++r;
      const Workspace& w = work[r];
      const std::int64_t of_head = (w.length + kBlock - 1) / kBlock;
      const std::int64_t kv = (i - w.first) / of_head, first = (i - w.first) % of_head * kBlock;
      const std::int64_t at = i * s.group;
      kernel({.shape = &s,
              .row = &rows[r],
              .kv_head = kv,
              .begin = first,
              .end = std::min(w.length, first + kBlock),
              .queries = w.queries.data() + kv * s.group * padded,
              .padded = padded,
              .top = top.data() + at,
              .total = total.data() + at,
              .out = out.data() + at * padded});
    }
  });

  // The blocks of a head, joined in order.
  const auto rows_heads = static_cast<std::int64_t>(rows.size()) * heads;
  at::parallel_for(0, rows_heads, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> sum(static_cast<std::size_t>(s.head));
    for (std::int64_t i = begin; i < end; ++i) {
      const Workspace& w = work[static_cast<std::size_t>(i / heads)];
      const std::int64_t h = i % heads, of_head = (w.length + kBlock - 1) / kBlock;
      const std::int64_t first = (w.first + h / s.group * of_head) * s.group + h % s.group;
      const auto index = [&](std::int64_t b) {
        return static_cast<std::size_t>(first + b * s.group);
      };
      float greatest = -INFINITY, weight = 0;
      for (std::int64_t b = 0; b < of_head; ++b) greatest = std::max(greatest, top[index(b)]);
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (std::int64_t b = 0; b < of_head; ++b) {
        const float factor = std::exp(top[index(b)] - greatest);
        weight += factor * total[index(b)];
        const float* part = out.data() + index(b) * static_cast<std::size_t>(padded);
        for (std::int64_t d = 0; d < s.head; ++d)
          sum[static_cast<std::size_t>(d)] += factor * part[d];
      }
      for (std::int64_t d = 0; d < s.head; ++d) {
        const float y = sum[static_cast<std::size_t>(d)] / weight;
        if (s.activations == Element::kFloat32)
          static_cast<float*>(rows[static_cast<std::size_t>(i / heads)].out)[h * s.head + d] = y;
        else
          static_cast<std::uint16_t*>(
              rows[static_cast<std::size_t>(i / heads)].out)[h * s.head + d] = to_bf16(y);
      }
    }
  });
}

}  // namespace bestreel::videoscore2
