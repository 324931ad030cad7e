#include "reward/videoscore2/sampling.h"

#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

namespace bestreel::videoscore2 {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

at::Tensor row(std::vector<float> values) { return at::tensor(values, at::kFloat).unsqueeze(0); }
at::Tensor seen(std::vector<std::int64_t> ids, std::int64_t vocabulary) {
  return seen_tokens(ids, vocabulary, at::kCPU).unsqueeze(0);
}

// Verifies that the penalty divides what is positive, multiplies what is negative, and acts once on
// an id that occurs twice.
TEST(Sampling, RepetitionPenaltyActsOncePerToken) {
  const at::Tensor out = repetition_penalty(row({2, -2, 3}), seen({0, 1, 0, 0}, 3), 2.0);
  EXPECT_TRUE(at::equal(out, row({1, -4, 3})));
}

// Verifies that the k largest stay, ties with the k-th included, and that k may exceed the size.
TEST(Sampling, TopK) {
  EXPECT_TRUE(at::equal(keep_top_k(row({1, 3, 2, 2}), 2), row({kNever, 3, 2, 2})));
  EXPECT_TRUE(at::equal(keep_top_k(row({1, 3}), 9), row({1, 3})));
}

// Verifies that the fewest tokens that reach p stay, and always one.
TEST(Sampling, TopP) {
  const at::Tensor logits = row({0.1f, 0.6f, 0.3f}).log();
  EXPECT_TRUE(at::equal(at::isfinite(keep_top_p(logits, 0.7)), row({0, 1, 1}).to(at::kBool)));
  EXPECT_TRUE(at::equal(at::isfinite(keep_top_p(logits, 0.0)), row({0, 1, 0}).to(at::kBool)));
}

// Verifies the reference's order, and that greedy reading leaves the last three out.
TEST(Sampling, ChainOfProcessors) {
  GenerationConfig config;
  config.repetition_penalty = 2.0;
  config.top_k = 2;
  const at::Tensor logits = row({4, 3, 1});
  const at::Tensor sampled = process_logits(logits, seen({0}, 3), config, {true, 0.5, 0});
  EXPECT_TRUE(at::equal(sampled, row({4, 6, kNever})));
  EXPECT_TRUE(at::equal(process_logits(logits, seen({0}, 3), config, {}), row({2, 3, 1})));
}

// Verifies that every processor and the choice of a token leave a row what it is alone, at sizes
// off every vector width.
TEST(Sampling, RowsAreAlone) {
  at::manual_seed(5);
  GenerationConfig config;
  config.repetition_penalty = 1.05;
  config.top_k = 50;
  config.top_p = 0.9;
  const at::Tensor logits = at::randn({16, 1237}).mul(3);
  const at::Tensor marks = at::rand({16, 1237}).lt(0.2);
  const at::Tensor draws = at::rand({16}, at::kDouble);
  for (const SamplingOptions& options : {SamplingOptions{}, SamplingOptions{true, 0.7, 0}})
    for (const std::int64_t rows : {2, 5, 8, 16}) {
      const at::Tensor processed =
          process_logits(logits.narrow(0, 0, rows), marks.narrow(0, 0, rows), config, options);
      const at::Tensor tokens =
          choose_tokens(processed, options.sample ? draws.narrow(0, 0, rows) : at::Tensor());
      for (std::int64_t r = 0; r < rows; ++r) {
        const at::Tensor alone =
            process_logits(logits.narrow(0, r, 1), marks.narrow(0, r, 1), config, options);
        EXPECT_TRUE(at::equal(alone[0], processed[r]));
        EXPECT_EQ(choose_tokens(alone, options.sample ? draws.narrow(0, r, 1) : at::Tensor())
                      .item<std::int64_t>(),
                  tokens[r].item<std::int64_t>());
      }
    }
}

// Verifies that draws follow the distribution, never take what has probability zero, and depend on
// (seed, step) alone; on the host as on the device.
TEST(Sampling, SeededDraws) {
  const at::Tensor logits = row({0.25f, 0.75f, 0.0f}).log();
  const double few[] = {std::log(0.25), std::log(0.75), kNever};
  int counts[3] = {};
  for (std::uint64_t step = 0; step < 4000; ++step) {
    const double draw = uniform(42, step);
    const auto token = choose_tokens(logits, at::tensor({draw}, at::kDouble)).item<std::int64_t>();
    EXPECT_EQ(choose_one(few, draw), static_cast<std::size_t>(token));
    ++counts[token];
  }
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
  EXPECT_EQ(choose_tokens(row({1, 5, 2}), {}).item<std::int64_t>(), 1);
  EXPECT_EQ(choose_one(std::array{kNever * 1.0, 5.0, 2.0}, std::nullopt), 1u);
}

}  // namespace
}  // namespace bestreel::videoscore2
