// Our own sampler, with the shipped tiny generator.
#include <gtest/gtest.h>

#include "sampler/wan/engine.h"
#include "tests/conformance/engine_conformance.h"

namespace bestreel::conformance {
namespace {

Subject wan(Stochastic stochastic, double guidance, std::int64_t keep_bytes) {
  static const auto pipeline = wan::Pipeline::load(
      {.folder = BESTREEL_SOURCE_DIR "/examples/tinyworld/checkpoints/generator"});
  return {.make = [=] {
    wan::EngineOptions options;
    options.settings.size = {32, 32, 5};
    options.settings.steps = 4;
    options.settings.guidance = guidance;
    options.settings.noise.stochastic = stochastic;
    options.keep_bytes = keep_bytes;
    return wan::make_engine(pipeline, options);
  }};
}

class WanConformance : public ::testing::TestWithParam<Stochastic> {};

TEST_P(WanConformance, KeepsToTheProtocol) {
  const std::vector<Finding> findings = examine(wan(GetParam(), 1, 1 << 20));
  EXPECT_EQ(violations(findings), "");
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.claimed, finding.property != "drafts") << finding.property;
  }
}

// What the kinds of noise do not share is the stepper's: see tests/unit/sampler.
INSTANTIATE_TEST_SUITE_P(Solvers, WanConformance,
                         ::testing::Values(Stochastic::kNone, Stochastic::kFlowSde));

// Two forwards a step, and nothing kept.
TEST(WanConformance, WithGuidanceAndNothingKept) {
  EXPECT_EQ(violations(examine(wan(Stochastic::kNone, 2, 0))), "");
}

// Noise of no strength is none: the engine says so.
TEST(WanConformance, NoNoiseIsDeterministic) {
  const auto pipeline = wan::Pipeline::load(
      {.folder = BESTREEL_SOURCE_DIR "/examples/tinyworld/checkpoints/generator"});
  wan::EngineOptions options;
  options.settings.size = {32, 32, 5};
  options.settings.steps = 4;
  options.settings.noise = {Stochastic::kFlowSde, 0};
  EXPECT_EQ(wan::make_engine(pipeline, options)->capabilities().stochastic_until, 0);
  options.settings.noise.eta = 0.5;
  EXPECT_EQ(wan::make_engine(pipeline, options)->capabilities().stochastic_until, 3);
}

}  // namespace
}  // namespace bestreel::conformance
