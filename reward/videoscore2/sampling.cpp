#include "reward/videoscore2/sampling.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/nn/device.h"

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

at::Tensor seen_tokens(const std::vector<std::int64_t>& ids, std::int64_t vocabulary,
                       at::Device device) {
  at::Tensor seen = at::zeros({vocabulary}, at::kBool);
  bool* mark = seen.mutable_data_ptr<bool>();
  for (const std::int64_t id : ids) mark[id] = true;
  return nn::upload(seen, device);
}

at::Tensor repetition_penalty(const at::Tensor& logits, const at::Tensor& seen, double penalty) {
  return at::where(seen, at::where(logits.lt(0), logits.mul(penalty), logits.div(penalty)), logits);
}

at::Tensor keep_top_k(const at::Tensor& logits, std::int64_t k) {
  const std::int64_t kept = std::min(k, logits.size(1));
  const at::Tensor largest = std::get<0>(at::topk(logits, kept));
  return logits.masked_fill(logits.lt(largest.narrow(1, kept - 1, 1)), kNever);
}

at::Tensor keep_top_p(const at::Tensor& logits, double p) {
  const auto [sorted, order] = at::sort(logits, /*dim=*/1, /*descending=*/false);
  at::Tensor drop = at::cumsum(at::softmax(sorted, 1), 1).le(1.0 - p);
  drop.narrow(1, drop.size(1) - 1, 1).fill_(false);
  return logits.masked_fill(drop.scatter(1, order, drop), kNever);
}

at::Tensor process_logits(const at::Tensor& logits, const at::Tensor& seen,
                          const GenerationConfig& config, const SamplingOptions& options) {
  at::Tensor out = logits;
  if (config.repetition_penalty != 1.0)
    out = repetition_penalty(out, seen, config.repetition_penalty);
  if (!options.sample) return out;
  if (options.temperature != 1.0) out = out.div(options.temperature);
  if (config.top_k > 0) out = keep_top_k(out, config.top_k);
  if (config.top_p < 1.0) out = keep_top_p(out, config.top_p);
  return out;
}

at::Tensor choose_tokens(const at::Tensor& processed, const at::Tensor& draws) {
  if (!draws.defined()) return at::argmax(processed, 1);
  const at::Tensor total = at::cumsum(at::softmax(processed.to(at::kDouble), 1), 1);
  // The last sum may fall short of 1 by rounding: draw below what is there.
  const at::Tensor u = total.narrow(1, total.size(1) - 1, 1).mul(draws.unsqueeze(1));
  return at::searchsorted(total, u, /*out_int32=*/false, /*right=*/true).squeeze(1);
}

std::size_t choose_one(std::span<const double> processed, std::optional<double> draw) {
  const auto most = std::max_element(processed.begin(), processed.end());
  std::size_t chosen = static_cast<std::size_t>(most - processed.begin());
  if (!draw) return chosen;
  double total = 0;
  for (const double logit : processed) total += std::exp(logit - *most);
  double sum = 0;
  for (std::size_t i = 0; i < processed.size(); ++i) {
    const double weight = std::exp(processed[i] - *most);
    sum += weight;
    if (weight > 0 && sum > *draw * total) return i;
  }
  return chosen;
}

double uniform(std::uint64_t seed, std::uint64_t step) {
  return static_cast<double>(mix(mix(seed) ^ step) >> 11) * 0x1.0p-53;
}

}  // namespace bestreel::videoscore2
