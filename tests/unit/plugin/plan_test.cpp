#include "plugin/plan.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace bestreel {
namespace {

// Binary and decimal units, any case; what is no size is refused with an example.
TEST(Plan, ReadsMemorySizes) {
  EXPECT_EQ(parse_memory("plan", "24G"), std::int64_t{24} << 30);
  EXPECT_EQ(parse_memory("plan", "24GiB"), std::int64_t{24} << 30);
  EXPECT_EQ(parse_memory("plan", "24gb"), 24'000'000'000);
  EXPECT_EQ(parse_memory("plan", "24000M"), std::int64_t{24000} << 20);
  EXPECT_EQ(parse_memory("plan", "1.5T"), std::int64_t{3} << 39);
  for (const char* text : {"", "G", "24X", "-1G", "0", "nan", "inf", "24 G", "24G!", "1e300T"}) {
    EXPECT_THROW(parse_memory("plan", text), UsageError) << text;
  }
}

PlanRequest judge_alone(std::int64_t memory) {
  PlanRequest request{.memory = memory, .process = 10};
  request.judges = {
      {.weights = 100, .activations = 20, .prompt_cache = 5, .slot = 7, .max_slots = 8}};
  request.n = 8;
  return request;
}

// The sum is what the formula says, and slots shrink until the memory holds them.
TEST(Plan, SlotsShrinkUntilTheyFit) {
  const MemoryPlan roomy = plan_memory(judge_alone(1000));
  EXPECT_TRUE(roomy.fits);
  EXPECT_EQ(roomy.slots, 8);
  EXPECT_EQ(roomy.peak, 10 + 100 + 20 + 8 * (5 + 7));
  const MemoryPlan tight = plan_memory(judge_alone(10 + 100 + 20 + 3 * 12 + 1));
  EXPECT_TRUE(tight.fits);
  EXPECT_EQ(tight.slots, 3);
  const MemoryPlan none = plan_memory(judge_alone(100));
  EXPECT_FALSE(none.fits);
  EXPECT_EQ(none.slots, 1);
  EXPECT_EQ(none.worst, "judging");
}

// Readings of one video share its prompt.
TEST(Plan, ReadingsShareTheirPrompt) {
  PlanRequest request = judge_alone(1000);
  request.judges[0].samples = 4;
  EXPECT_EQ(plan_memory(request).peak, 10 + 100 + 20 + 2 * 5 + 8 * 7);
}

PlanRequest both(std::int64_t memory) {
  PlanRequest request = judge_alone(memory);
  request.generator = GeneratorEstimate{.text_encoder = 400,
                                        .denoiser_at_text = 10,
                                        .denoiser = 200,
                                        .vae = 30,
                                        .denoise_activations = 50,
                                        .decode_activations = 90,
                                        .trajectory = 3,
                                        .video = 4};
  return request;
}

// The text encoder is gone before the denoiser works: the peak is the larger of the two, not the
// sum.
TEST(Plan, TheTextEncoderIsParked) {
  const MemoryPlan plan = plan_memory(both(1000));
  EXPECT_EQ(plan.phases[0].bytes, 10 + 30 + 10 + 400);
  EXPECT_EQ(plan.phases[1].bytes, 10 + 30 + 200 + 3 + 100 + 50);
  EXPECT_EQ(plan.phases[2].bytes, 10 + 30 + 200 + 3 + 100 + 90 + 4);
  PlanRequest many = both(1000);
  many.prompts = 2;
  EXPECT_GT(plan_memory(many).peak, plan.peak + 250)
      << "beside all else, from the second prompt on";
}

// Overlap adds the judge's work to the denoiser's; lockstep multiplies latents.
TEST(Plan, OverlapAndLockstepCost) {
  const MemoryPlan apart = plan_memory(both(1000));
  PlanRequest overlapping = both(1000);
  overlapping.overlap = true;
  EXPECT_EQ(plan_memory(overlapping).phases[1].bytes, apart.phases[1].bytes + 20 + 8 * 12 + 4);
  PlanRequest lockstep = both(1000);
  lockstep.lockstep = true;
  EXPECT_EQ(plan_memory(lockstep).trajectories, 8);
  EXPECT_EQ(plan_memory(lockstep).phases[1].bytes, apart.phases[1].bytes + 7 * 3);
}

// The first alternative that fits is the remedy; none is none.
TEST(Plan, TheCheapestRemedyThatFits) {
  PlanRequest small = judge_alone(100);
  PlanRequest smaller = judge_alone(100);
  small.judges[0].weights = 60;
  smaller.judges[0].weights = 20;
  EXPECT_EQ(cheapest_remedy({{"no", judge_alone(100)}, {"small", small}, {"smaller", smaller}}),
            "smaller");
  EXPECT_EQ(cheapest_remedy({{"no", judge_alone(100)}}), "");
}

// Decoding in company reads the weights once for all, until arithmetic is the limit.
TEST(Plan, CompanySharesTheWeights) {
  PlanRequest request = judge_alone(1000);
  JudgeEstimate& judge = request.judges[0];
  judge.tokens = 100;
  judge.decode_bytes = 1000;
  judge.decode_flops = 1;
  const MachineRates rates{.flops = 1e6, .bytes_per_second = 1e4};
  const MemoryPlan eight = plan_memory(request);
  const double together = plan_seconds(request, eight, rates).judges[0];
  request.slots = 1;
  const double alone = plan_seconds(request, plan_memory(request), rates).judges[0];
  EXPECT_NEAR(alone, 10, 1e-9);
  EXPECT_NEAR(together, alone / 8, 1e-9);
  EXPECT_NEAR(plan_seconds(request, plan_memory(request), rates).total, 80, 1e-9);
}

}  // namespace
}  // namespace bestreel
