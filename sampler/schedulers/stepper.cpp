#include "sampler/schedulers/stepper.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/fail.h"
#include "sampler/schedulers/dpm.h"
#include "sampler/schedulers/unipc.h"

namespace bestreel {

Stochastic parse_stochastic(const std::string& word) {
  if (word == "none") return Stochastic::kNone;
  if (word == "flow-sde") return Stochastic::kFlowSde;
  if (word == "cps") return Stochastic::kCps;
  if (word == "ddim") return Stochastic::kDdim;
  fail_usage("schedule", "the kind of noise must be none, flow-sde, cps or ddim but got {}", word);
}

Stepper::Stepper(SchedulerConfig config, FlowSchedule schedule, StepOptions options)
    : config_(std::move(config)), schedule_(std::move(schedule)), options_(options) {
  const double most = options_.stochastic == Stochastic::kFlowSde ? 10 : 1;
  if (!(options_.eta >= 0 && options_.eta <= most))
    fail_usage("schedule", "eta must be 0 to {} for this kind of noise but got {}", most,
               options_.eta);
}

double Stepper::sigma_next() const {
  if (done()) fail_usage("schedule", "all {} steps are taken: start a new trajectory", steps());
  return schedule_.sigmas[static_cast<std::size_t>(index_ + 1)];
}

double Stepper::timestep() const {
  if (done()) fail_usage("schedule", "all {} steps are taken: start a new trajectory", steps());
  return schedule_.timesteps[static_cast<std::size_t>(index_)];
}

bool Stepper::needs_noise() const {
  return options_.stochastic != Stochastic::kNone && options_.eta > 0 && index_ + 1 < steps();
}

std::int64_t Stepper::bytes() const {
  std::int64_t sum = last_x_.defined() ? static_cast<std::int64_t>(last_x_.nbytes()) : 0;
  for (const at::Tensor& each : history_) sum += static_cast<std::int64_t>(each.nbytes());
  return sum;
}

Step Stepper::step(const at::Tensor& x, const at::Tensor& v, const at::Tensor& fresh) {
  const double sigma = this->sigma(), next = sigma_next();
  if (needs_noise() && !fresh.defined())
    fail_usage("schedule", "a stochastic step needs fresh noise but got none: pass it");
  Step step;
  step.v = v;
  // The product in v's own dtype, as the reference rounds it.
  step.x0_hat = x - v * sigma;
  if (needs_noise()) {
    stochastic(x, fresh, step);
  } else {
    // A search may switch the noise off for the last step: Euler then, for there is no history.
    const Solver solver =
        options_.stochastic == Stochastic::kNone ? config_.solver : Solver::kFlowMatchEuler;
    step.x_next =
        solver == Solver::kUniPC ? unipc(x, step.x0_hat)
        : solver == Solver::kDpmSolverPP
            ? dpm(x, step.x0_hat)
            : x + v * static_cast<double>(static_cast<float>(next) - static_cast<float>(sigma));
    step.mean = step.x_next;
    step.log_prob = at::zeros({}, x.options().dtype(at::kDouble));
  }
  ++index_;
  return step;
}

void Stepper::stochastic(const at::Tensor& x, const at::Tensor& fresh, Step& step) const {
  const double s = sigma(), next = sigma_next(), eta = options_.eta;
  const at::Tensor noise_hat = x + step.v * (1 - s);  // the noise that x is made of
  if (options_.stochastic == Stochastic::kFlowSde) {
    // At s = 1 the coefficient has a pole; the reference takes the next level there.
    const double level = s < 1 ? s : schedule_.sigmas[1];
    const double g = eta * std::sqrt(s / (1 - level));
    step.mean = x + (step.v + noise_hat * (g * g / (2 * s))) * (next - s);
    step.std = g * std::sqrt(s - next);
  } else {
    const double kept = s < 1 ? (1 - s) / (1 - next) * next : 0;
    step.std = options_.stochastic == Stochastic::kCps
                   ? next * std::sin(eta * std::numbers::pi / 2)
                   : eta * (next / s) * std::sqrt(std::max(0.0, s * s - kept * kept));
    // DDIM's variance cannot exceed the whole of it.
    step.std = std::min(step.std, next);
    step.mean = step.x0_hat * (1 - next) + noise_hat * std::sqrt(next * next - step.std * step.std);
  }
  step.x_next = step.mean + fresh * step.std;
  // Of the noise that was really added, after rounding.
  const at::Tensor z = (step.x_next - step.mean).to(at::kDouble) / step.std;
  const double constant = std::log(step.std) + 0.5 * std::log(2 * std::numbers::pi);
  step.log_prob = z.square().sum().mul(-0.5).sub(constant * static_cast<double>(x.numel()));
}

at::Tensor Stepper::unipc(const at::Tensor& x, const at::Tensor& x0_hat) {
  const auto& off = config_.disable_corrector;
  const bool correct_it =
      index_ > 0 && last_x_.defined() && std::find(off.begin(), off.end(), index_ - 1) == off.end();
  const at::Tensor from =
      correct_it ? unipc_correct(config_, schedule_, index_, last_order_, history_, last_x_, x0_hat)
                 : x;
  remember(x0_hat);
  last_order_ = std::min(
      {config_.solver_order, steps() - index_, static_cast<std::int64_t>(history_.size())});
  last_x_ = from;
  return unipc_predict(config_, schedule_, index_, last_order_, history_, from);
}

at::Tensor Stepper::dpm(const at::Tensor& x, const at::Tensor& x0_hat) {
  constexpr std::int64_t kFewSteps = 15;  // where the reference lowers the order at the end
  remember(x0_hat);
  const std::int64_t left = steps() - index_;
  std::int64_t order = std::min(config_.solver_order, static_cast<std::int64_t>(history_.size()));
  if (config_.lower_order_final && steps() < kFewSteps) order = std::min(order, left);
  if (left == 1) order = 1;  // the last step is infinite
  return dpm_predict(config_, schedule_, index_, order, history_, x);
}

void Stepper::remember(const at::Tensor& x0_hat) {
  history_.push_back(x0_hat);
  if (static_cast<std::int64_t>(history_.size()) > config_.solver_order)
    history_.erase(history_.begin());
}

void Stepper::rewind(std::int64_t index) {
  if (index < 0 || index > index_)
    fail_usage("schedule", "the step to go back to must be 0 to {} but got {}", index_, index);
  index_ = index;
  history_.clear();
  last_x_ = at::Tensor();
  last_order_ = 0;
}

}  // namespace bestreel
