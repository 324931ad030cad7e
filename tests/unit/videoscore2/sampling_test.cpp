#include "reward/videoscore2/sampling.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <limits>

namespace bestreel::videoscore2 {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

at::Tensor floats(std::vector<float> values) { return at::tensor(values, at::kFloat); }
at::Tensor ids(std::vector<std::int64_t> values) { return at::tensor(values, at::kLong); }

// Verifies that the penalty divides what is positive, multiplies what is negative, and acts once on
// an id that occurs twice.
TEST(Sampling, RepetitionPenaltyActsOncePerToken) {
  const at::Tensor out = repetition_penalty(floats({2, -2, 3}), ids({0, 1, 0, 0}), 2.0);
  EXPECT_TRUE(at::equal(out, floats({1, -4, 3})));
}

// Verifies that the k largest stay, ties with the k-th included, and that k may exceed the size.
TEST(Sampling, TopK) {
  EXPECT_TRUE(at::equal(keep_top_k(floats({1, 3, 2, 2}), 2), floats({kNever, 3, 2, 2})));
  EXPECT_TRUE(at::equal(keep_top_k(floats({1, 3}), 9), floats({1, 3})));
}

// Verifies that the fewest tokens that reach p stay, and always one.
TEST(Sampling, TopP) {
  const at::Tensor logits = floats({0.1f, 0.6f, 0.3f}).log();
  EXPECT_TRUE(at::equal(at::isfinite(keep_top_p(logits, 0.7)), ids({0, 1, 1}).to(at::kBool)));
  EXPECT_TRUE(at::equal(at::isfinite(keep_top_p(logits, 0.0)), ids({0, 1, 0}).to(at::kBool)));
}

// Verifies the reference's order, and that greedy reading leaves the last three out.
TEST(Sampling, ChainOfProcessors) {
  GenerationConfig config;
  config.repetition_penalty = 2.0;
  config.top_k = 2;
  const at::Tensor logits = floats({4, 3, 1});
  const at::Tensor sampled = process_logits(logits, ids({0}), config, {true, 0.5, 0});
  EXPECT_TRUE(at::equal(sampled, floats({4, 6, kNever})));
  EXPECT_TRUE(at::equal(process_logits(logits, ids({0}), config, {}), floats({2, 3, 1})));
}

// Verifies that draws follow the distribution, never take what has probability zero, and depend on
// (seed, step) alone.
TEST(Sampling, SeededDraws) {
  const at::Tensor logits = floats({0.25f, 0.75f, 0.0f}).log();
  const SamplingOptions options{true, 1.0, 42};
  int counts[3] = {};
  for (std::uint64_t step = 0; step < 4000; ++step)
    ++counts[choose_token(logits, options, step).item<std::int64_t>()];
  EXPECT_NEAR(counts[0] / 4000.0, 0.25, 0.03);
  EXPECT_EQ(counts[2], 0);
  EXPECT_EQ(uniform(7, 3), uniform(7, 3));
  EXPECT_NE(uniform(7, 3), uniform(7, 4));
  EXPECT_NE(uniform(7, 3), uniform(8, 3));
}

// Verifies pinned values, so that a seed means the same on every machine and in every version.
TEST(Sampling, UniformIsPinned) {
  EXPECT_DOUBLE_EQ(uniform(0, 0), 0.6524484863740322);
  EXPECT_DOUBLE_EQ(uniform(1, 2), 0.7376992526901169);
}

// Verifies that greedy takes the largest.
TEST(Sampling, Greedy) {
  EXPECT_EQ(choose_token(floats({1, 5, 2}), {}, 0).item<std::int64_t>(), 1);
}

}  // namespace
}  // namespace bestreel::videoscore2
