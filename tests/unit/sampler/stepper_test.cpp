#include "sampler/schedulers/stepper.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "sampler/schedulers/noise.h"

namespace bestreel {
namespace {

SchedulerConfig euler(double shift = 3) {
  SchedulerConfig c;
  c.solver = Solver::kFlowMatchEuler;
  c.shift = shift;
  c.sigma_max = 1;
  c.sigma_min = 0.001;
  return c;
}

// Data with two modes at -1 and 1.5, of width 0.3: the exact velocity is known.
constexpr double kModes[2] = {-1, 1.5}, kWidth = 0.3;

at::Tensor velocity(const at::Tensor& x, double s) {
  const double keep = 1 - s, variance = keep * keep * kWidth * kWidth + s * s;
  // x0 given x, per mode and mixed by the posterior of the modes
  const auto x0 = [&](double mode) {
    return x.sub(keep * mode).mul(keep * kWidth * kWidth / variance).add(mode);
  };
  const auto square = [&](double mode) { return x.sub(keep * mode).square(); };
  const at::Tensor first = at::sigmoid((square(kModes[1]) - square(kModes[0])).div(2 * variance));
  const at::Tensor mean = x0(kModes[0]).mul(first) + x0(kModes[1]).mul(1 - first);
  return (x - mean) / s;  // eps - x0 with x = keep x0 + s eps
}

at::Tensor truth(std::int64_t count) {
  const at::Tensor coin = seeded_noise(11, {count});
  return at::where(coin > 0, seeded_noise(12, {count}).mul(kWidth).add(kModes[0]),
                   seeded_noise(13, {count}).mul(kWidth).add(kModes[1]));
}

// Wasserstein-1 distance of the sampler's distribution to the data's.
double distance(const SchedulerConfig& config, StepOptions options, std::int64_t steps) {
  constexpr std::int64_t kCount = 40000;
  at::set_num_threads(1);  // short loops: threads would mostly wait for each other
  Stepper stepper(config, make_flow_schedule(config, steps), options);
  at::Tensor x = seeded_noise(5, {kCount}).to(at::kDouble);
  while (!stepper.done()) {
    at::Tensor fresh;
    if (stepper.needs_noise())
      fresh = keyed_noise("step " + std::to_string(stepper.index()), {kCount}).to(at::kDouble);
    x = stepper.step(x, velocity(x, stepper.sigma()), fresh).x_next;
  }
  const at::Tensor ours = std::get<0>(x.sort()), real = std::get<0>(truth(kCount).sort());
  return (ours - real).abs().mean().item<double>();
}

// The noise of Flow-SDE and DDIM leaves the distribution as it is; so do both solvers.
TEST(Stepper, MarginalsAreThoseOfTheFlow) {
  const StepOptions none, sde{Stochastic::kFlowSde, 0.7}, ddim{Stochastic::kDdim, 0.5};
  EXPECT_LT(distance(euler(), none, 50), 0.05);
  EXPECT_LT(distance(euler(), sde, 50), 0.04);
  EXPECT_LT(distance(euler(), ddim, 50), 0.06);
  SchedulerConfig unipc;
  unipc.shift = 3;
  EXPECT_LT(distance(unipc, none, 50), 0.04);
}

// CPS keeps the coefficients but not the distribution: with many steps, where the others converge,
// it stays away.
TEST(Stepper, CpsIsNotMarginalPreserving) {
  EXPECT_GT(distance(euler(), {Stochastic::kCps, 0.7}, 200), 0.03);
  EXPECT_LT(distance(euler(), {Stochastic::kFlowSde, 0.7}, 200), 0.02);
}

// With eta 0 every kind of noise is the deterministic Euler step.
TEST(Stepper, NoNoiseIsEuler) {
  const at::Tensor x = seeded_noise(1, {100}), v = seeded_noise(2, {100});
  const FlowSchedule schedule = make_flow_schedule(euler(), 10);
  const at::Tensor expected = Stepper(euler(), schedule).step(x, v).x_next;
  for (const Stochastic kind : {Stochastic::kFlowSde, Stochastic::kCps, Stochastic::kDdim}) {
    Stepper stepper(euler(), schedule, {kind, 0});
    EXPECT_FALSE(stepper.needs_noise());
    const Step step = stepper.step(x, v);
    EXPECT_TRUE(at::equal(step.x_next, expected));
    EXPECT_EQ(step.std, 0);
    EXPECT_EQ(step.log_prob.item<double>(), 0);
  }
}

// log_prob is the density of the step that was taken; mean and std describe it.
TEST(Stepper, LogProbabilityIsTheGaussians) {
  const at::Tensor x = seeded_noise(1, {5}), v = seeded_noise(2, {5}), z = seeded_noise(3, {5});
  for (const Stochastic kind : {Stochastic::kFlowSde, Stochastic::kCps, Stochastic::kDdim}) {
    Stepper stepper(euler(), make_flow_schedule(euler(), 10), {kind, 0.5});
    stepper.step(x, v, z);
    const Step step = stepper.step(x, v, z);
    double expected = 0;
    for (int i = 0; i < 5; ++i) {
      const double d = step.x_next[i].item<double>() - step.mean[i].item<double>();
      expected -= d * d / (2 * step.std * step.std) + std::log(step.std) +
                  0.5 * std::log(2 * std::numbers::pi);
      EXPECT_NEAR(d, step.std * z[i].item<double>(), 1e-5);
    }
    EXPECT_NEAR(step.log_prob.item<double>(), expected, 1e-3);
    EXPECT_GT(step.std, 0);
  }
}

// The last step has no fresh noise, which would be grain in the video.
TEST(Stepper, LastStepIsFreeOfNoise) {
  Stepper stepper(euler(), make_flow_schedule(euler(), 2), {Stochastic::kFlowSde, 0.7});
  const at::Tensor x = seeded_noise(1, {5});
  stepper.step(x, x, x);
  EXPECT_FALSE(stepper.needs_noise());
  EXPECT_TRUE(stepper.step(x, x).x_next.allclose(x - x * stepper.schedule().sigmas[1]));
}

// UniPC's last step goes through an infinity and ends at the estimate of x0.
TEST(Stepper, UniPCEndsAtTheEstimate) {
  SchedulerConfig config;
  config.shift = 5;
  Stepper stepper(config, make_flow_schedule(config, 6));
  at::Tensor x = seeded_noise(1, {50});
  Step step;
  while (!stepper.done()) {
    step = stepper.step(x, velocity(x, stepper.sigma()));
    x = step.x_next;
  }
  EXPECT_TRUE(x.allclose(step.x0_hat, 1e-5, 1e-6));
}

// A copy has its own history: two copies that see the same go the same way.
TEST(Stepper, ACopyIsAFork) {
  SchedulerConfig config;
  config.shift = 3;
  Stepper a(config, make_flow_schedule(config, 8));
  at::Tensor x = seeded_noise(1, {50});
  for (int i = 0; i < 4; ++i) x = a.step(x, velocity(x, a.sigma())).x_next;
  Stepper b = a;
  b.step(x, velocity(x, b.sigma()));  // must not touch a
  EXPECT_EQ(a.index(), 4);
  Stepper c = a;
  EXPECT_TRUE(at::equal(a.step(x, velocity(x, a.sigma())).x_next,
                        c.step(x, velocity(x, c.sigma())).x_next));
}

// Impossible requests are sentences, not undefined behaviour.
TEST(Stepper, RefusesTheImpossible) {
  EXPECT_THROW(make_flow_schedule(euler(), 0), UsageError);
  EXPECT_THROW(parse_stochastic("langevin"), UsageError);
  EXPECT_THROW(Stepper(euler(), make_flow_schedule(euler(), 2), {Stochastic::kDdim, 1.5}),
               UsageError);
  Stepper stepper(euler(), make_flow_schedule(euler(), 2), {Stochastic::kFlowSde, 0.7});
  const at::Tensor x = seeded_noise(1, {5});
  EXPECT_THROW(stepper.step(x, x), UsageError);
  stepper.step(x, x, x);
  EXPECT_THROW(stepper.rewind(2), UsageError);
  stepper.rewind(0);
  EXPECT_EQ(stepper.index(), 0);
  stepper.step(x, x, x);
  stepper.step(x, x);
  EXPECT_THROW(stepper.step(x, x), UsageError);
}

}  // namespace
}  // namespace bestreel
