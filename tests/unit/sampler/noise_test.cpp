#include "sampler/schedulers/noise.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/base/error.h"

namespace bestreel {
namespace {

double cosine(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return (x.mul(y).sum().item<double>()) /
         (at::linalg_vector_norm(x).item<double>() * at::linalg_vector_norm(y).item<double>());
}

// A seed gives what torch.Generator("cpu").manual_seed(seed) and torch.randn give in Python.
TEST(SeededNoise, IsTorchs) {
  const at::Tensor few = seeded_noise(0, {3});
  EXPECT_FLOAT_EQ(few[0].item<float>(), 1.5409960746765137f);
  EXPECT_FLOAT_EQ(few[1].item<float>(), -0.293428897857666f);
  EXPECT_FLOAT_EQ(few[2].item<float>(), -2.1787893772125244f);
}

// Equal keys give equal noise; a key that differs in one character gives unrelated noise.
TEST(KeyedNoise, DependsOnTheKeyAlone) {
  const std::vector<std::int64_t> shape{4, 1000};
  const at::Tensor a = keyed_noise("seed 7/step 3", shape);
  EXPECT_TRUE(at::equal(a, keyed_noise("seed 7/step 3", shape)));
  EXPECT_LT(std::abs(cosine(a, keyed_noise("seed 7/step 4", shape))), 0.08);
}

// Keyed noise is standard normal: mean, variance and fourth moment over a million draws.
TEST(KeyedNoise, IsStandardNormal) {
  const at::Tensor x = keyed_noise("moments", {1000, 1000}).to(at::kDouble);
  EXPECT_NEAR(x.mean().item<double>(), 0, 0.005);
  EXPECT_NEAR(x.square().mean().item<double>(), 1, 0.01);
  EXPECT_NEAR(x.square().square().mean().item<double>(), 3, 0.05);
}

// A neighbour has its parent's norm and exactly the asked cosine.
TEST(NeighbourNoise, KeepsNormAndCosine) {
  const at::Tensor parent = seeded_noise(1, {16, 5, 8, 8}), fresh = seeded_noise(2, {16, 5, 8, 8});
  for (const double c : {0.95, 0.5, 0.0, -1.0}) {
    const at::Tensor n = neighbour_noise(parent, c, fresh);
    EXPECT_NEAR(cosine(parent, n), c, 1e-6);
    EXPECT_NEAR(at::linalg_vector_norm(n).item<double>(),
                at::linalg_vector_norm(parent).item<double>(), 1e-3);
  }
  EXPECT_THROW(neighbour_noise(parent, 1.5, fresh), UsageError);
}

// Mixing keeps the variance at one, and beta says how much is fresh.
TEST(MixedNoise, KeepsTheVariance) {
  const at::Tensor a = seeded_noise(1, {100000}), b = seeded_noise(2, {100000});
  const at::Tensor mixed = mixed_noise(a, 0.6, b);
  EXPECT_NEAR(mixed.var().item<double>(), 1, 0.02);
  EXPECT_NEAR(cosine(a, mixed), 0.8, 0.01);
  EXPECT_TRUE(at::equal(mixed_noise(a, 0, b), a));
  EXPECT_THROW(mixed_noise(a, -0.1, b), UsageError);
}

// Going back to a noisier level gives what noising the same x0 to that level gives: mean and std.
TEST(Renoise, IsTheForwardProcess) {
  const double s = 0.3, to = 0.8, x0 = 2;
  const at::Tensor x = seeded_noise(3, {200000}).mul(s).add((1 - s) * x0);
  const at::Tensor y = renoise(x, s, to, seeded_noise(4, {200000}));
  EXPECT_NEAR(y.mean().item<double>(), (1 - to) * x0, 0.01);
  EXPECT_NEAR(y.std().item<double>(), to, 0.01);
  EXPECT_TRUE(at::equal(renoise(x, s, s, x), x));
  EXPECT_THROW(renoise(x, s, 0.2, x), UsageError);
}

}  // namespace
}  // namespace bestreel
