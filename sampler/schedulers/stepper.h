// One denoising step of a flow model: deterministic (UniPC, DPM++, Euler) or stochastic.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "sampler/schedulers/config.h"

namespace bestreel {

/// The noise of a step. All but kCps leave the marginals of the flow as they are (in the limit of
/// many steps); CPS preserves the coefficients only, so its samples are not those of the model.
enum class Stochastic : std::uint8_t {
  kNone,     ///< the solver of the schedule
  kFlowSde,  ///< g = eta sqrt(s / (1 - s)); Flow-GRPO, eta 0.7 there
  kCps,      ///< std = s' sin(eta pi / 2); Flow-CPS
  kDdim,     ///< std = eta (s'/s) sqrt(s^2 - ((1-s)/(1-s'))^2 s'^2); eta 1 is ancestral
};

/// "none", "flow-sde", "cps", "ddim". UsageError for another word.
BESTREEL_API Stochastic parse_stochastic(const std::string& word);

struct StepOptions {
  Stochastic stochastic = Stochastic::kNone;
  double eta = 0.7;
};

/// Everything that a search, or a policy gradient, may want of a step. Shapes as x.
struct Step {
  at::Tensor x_next;
  at::Tensor x0_hat;  ///< x - s v
  at::Tensor v;       ///< the model's velocity, eps - x0
  at::Tensor mean;    ///< of x_next given x; x_next itself where std is 0
  double std = 0;     ///< of x_next given x, per element
  at::Tensor
      log_prob;  ///< 0-dim double, sum over elements of log N(x_next; mean, std^2); 0 if std 0
};

/// Walks a schedule. Copying it copies the solver's history (tensors are shared and never written
/// to): a fork of a trajectory is a copy of its Stepper and its x. One thread at a time.
class BESTREEL_API Stepper {
 public:
  Stepper(SchedulerConfig config, FlowSchedule schedule, StepOptions options = {});

  std::int64_t index() const { return index_; }  ///< steps taken
  std::int64_t steps() const { return schedule_.steps(); }
  bool done() const { return index_ == steps(); }
  double sigma() const { return schedule_.sigmas[static_cast<std::size_t>(index_)]; }
  /// Of the next step; UsageError when done.
  double sigma_next() const;
  double timestep() const;
  const FlowSchedule& schedule() const { return schedule_; }
  /// Whether the next step needs `fresh` noise.
  bool needs_noise() const;
  /// No step from here on draws noise: the deterministic step of the same solver.
  void switch_noise_off() { options_.eta = 0; }
  /// What its history holds, in bytes; copies share it.
  std::int64_t bytes() const;

  /// x float32 and the velocity at (x, timestep()); `fresh` is standard normal noise like x where
  /// needs_noise(). The last step is always free of noise: fresh noise there is visible grain.
  Step step(const at::Tensor& x, const at::Tensor& v, const at::Tensor& fresh = {});

  /// Goes back to an earlier step (0 <= index <= index()) and forgets the history: what follows a
  /// renoise(). UsageError for another index.
  void rewind(std::int64_t index);

 private:
  at::Tensor unipc(const at::Tensor& x, const at::Tensor& x0_hat);
  at::Tensor dpm(const at::Tensor& x, const at::Tensor& x0_hat);
  void remember(const at::Tensor& x0_hat);
  void stochastic(const at::Tensor& x, const at::Tensor& fresh, Step& step) const;

  SchedulerConfig config_;
  FlowSchedule schedule_;
  StepOptions options_;
  std::int64_t index_ = 0;
  std::vector<at::Tensor> history_;  // x0 estimates, newest last, at most solver_order
  at::Tensor last_x_;                // where the last prediction started, corrected
  std::int64_t last_order_ = 0;
};

}  // namespace bestreel
