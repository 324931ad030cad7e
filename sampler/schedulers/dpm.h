// DPM-Solver++ (multistep, deterministic) for flow matching. Private.
//
// Source: Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic
// Models"; alpha = 1 - s, lambda = log(alpha / s), on predictions of x0.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "sampler/schedulers/config.h"

namespace bestreel {

/// From sigma[index] to sigma[index + 1]; history holds the x0 estimates up to `index`.
at::Tensor dpm_predict(const SchedulerConfig& config, const FlowSchedule& schedule,
                       std::int64_t index, std::int64_t order,
                       const std::vector<at::Tensor>& history, const at::Tensor& x);

}  // namespace bestreel
