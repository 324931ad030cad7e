// UniPC's predictor and corrector (B(h) version) for flow matching. Private.
//
// Source: Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework"; alpha = 1 - s,
// lambda = log(alpha / s), on predictions of x0.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "sampler/schedulers/config.h"

namespace bestreel {

/// From sigma[index] to sigma[index + 1]; history holds the x0 estimates up to `index`.
at::Tensor unipc_predict(const SchedulerConfig& config, const FlowSchedule& schedule,
                         std::int64_t index, std::int64_t order,
                         const std::vector<at::Tensor>& history, const at::Tensor& x);

/// The point at sigma[index] again, from `last_x` at sigma[index - 1], now that the estimate at
/// sigma[index] is known; history holds the estimates up to `index - 1`.
at::Tensor unipc_correct(const SchedulerConfig& config, const FlowSchedule& schedule,
                         std::int64_t index, std::int64_t order,
                         const std::vector<at::Tensor>& history, const at::Tensor& last_x,
                         const at::Tensor& x0_hat);

}  // namespace bestreel
