#include "sampler/schedulers/dpm.h"

#include <ATen/TensorOperators.h>

#include <cmath>

namespace bestreel {

// Scalars in float32 and in the reference's order: it computes them as tensors.
at::Tensor dpm_predict(const SchedulerConfig& config, const FlowSchedule& schedule,
                       std::int64_t index, std::int64_t order,
                       const std::vector<at::Tensor>& history, const at::Tensor& x) {
  const auto sigma = [&](std::int64_t i) { return schedule.sigmas[static_cast<std::size_t>(i)]; };
  const auto lambda = [&](std::int64_t i) {
    return std::log(1.0f - sigma(i)) - std::log(sigma(i));
  };
  const auto estimate = [&](std::size_t back) { return history[history.size() - 1 - back]; };
  const auto times = [](const at::Tensor& t, float factor) {
    return t * static_cast<double>(factor);
  };
  const float alpha = 1.0f - sigma(index + 1);
  const float h = lambda(index + 1) - lambda(index), decay = std::exp(-h) - 1.0f;
  const at::Tensor first =
      times(x, sigma(index + 1) / sigma(index)) - times(estimate(0), alpha * decay);
  if (order == 1) return first;
  const float r0 = (lambda(index) - lambda(index - 1)) / h;
  const at::Tensor d1 = times(estimate(0) - estimate(1), 1.0f / r0);
  if (order == 2) {
    return config.heun ? first + times(d1, alpha * (decay / h + 1.0f))
                       : first - times(d1, 0.5f * (alpha * decay));
  }
  const float r1 = (lambda(index - 1) - lambda(index - 2)) / h;
  const at::Tensor change = d1 - times(estimate(1) - estimate(2), 1.0f / r1);
  return first + times(d1 + times(change, r0 / (r0 + r1)), alpha * (decay / h + 1.0f)) -
         times(times(change, 1.0f / (r0 + r1)), alpha * ((decay + h) / (h * h) - 0.5f));
}

}  // namespace bestreel
