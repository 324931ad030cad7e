#include "reward/videoscore2/sampling.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <limits>

namespace bestreel::videoscore2 {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

at::Tensor repetition_penalty(const at::Tensor& logits, const at::Tensor& ids, double penalty) {
  const at::Tensor seen = logits.gather(0, ids);
  return logits.scatter(0, ids, at::where(seen.lt(0), seen.mul(penalty), seen.div(penalty)));
}

at::Tensor keep_top_k(const at::Tensor& logits, std::int64_t k) {
  const at::Tensor largest = std::get<0>(at::topk(logits, std::min(k, logits.size(0))));
  return logits.masked_fill(logits.lt(largest.narrow(0, largest.size(0) - 1, 1)), kNever);
}

at::Tensor keep_top_p(const at::Tensor& logits, double p) {
  const auto [sorted, order] = at::sort(logits, /*dim=*/0, /*descending=*/false);
  at::Tensor drop = at::cumsum(at::softmax(sorted, 0), 0).le(1.0 - p);
  drop.narrow(0, drop.size(0) - 1, 1).fill_(false);
  return logits.masked_fill(drop.scatter(0, order, drop), kNever);
}

at::Tensor process_logits(const at::Tensor& logits, const at::Tensor& ids,
                          const GenerationConfig& config, const SamplingOptions& options) {
  at::Tensor out = logits;
  if (config.repetition_penalty != 1.0)
    out = repetition_penalty(out, ids, config.repetition_penalty);
  if (!options.sample) return out;
  if (options.temperature != 1.0) out = out.div(options.temperature);
  if (config.top_k > 0) out = keep_top_k(out, config.top_k);
  if (config.top_p < 1.0) out = keep_top_p(out, config.top_p);
  return out;
}

at::Tensor choose_token(const at::Tensor& processed, const SamplingOptions& options,
                        std::uint64_t step) {
  if (!options.sample) return at::argmax(processed);
  const at::Tensor total = at::cumsum(at::softmax(processed.to(at::kDouble), 0), 0);
  // The last sum may fall short of 1 by rounding: draw below what is there.
  const at::Tensor u = total.narrow(0, total.size(0) - 1, 1).mul(uniform(options.seed, step));
  return at::searchsorted(total, u, /*out_int32=*/false, /*right=*/true).squeeze(0);
}

double uniform(std::uint64_t seed, std::uint64_t step) {
  return static_cast<double>(mix(mix(seed) ^ step) >> 11) * 0x1.0p-53;
}

}  // namespace bestreel::videoscore2
