#include "reward/videoscore2/linear.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace bestreel::videoscore2 {
namespace {

// Verifies that fp32 activations on half-precision weights give what an fp32 copy of the weights
// gives, for few rows and for many, for sizes off the vector width, with and without bias.
TEST(Linear, HalfWeightsAreWidenedExactly) {
  at::manual_seed(1);
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf})
    for (const std::int64_t rows : {1, 3, 40})
      for (const std::int64_t in : {5, 64, 203})
        for (const bool bias : {false, true}) {
          const at::Tensor x = at::randn({rows, in});
          Linear linear{at::randn({70, in}).to(dtype), bias ? at::randn({70}) : at::Tensor()};
          const at::Tensor expected =
              at::linear(x, linear.weight.to(at::kFloat),
                         bias ? std::optional<at::Tensor>(linear.bias) : std::nullopt);
          const at::Tensor y = linear(x);
          ASSERT_EQ(y.sizes(), expected.sizes());
          EXPECT_LE(y.sub(expected).abs().max().item<float>(), 1e-4f)
              << rows << "x" << in << " " << dtype;
        }
}

// Verifies that a wide layer, which goes through in slices, is whole.
TEST(Linear, SlicesCoverTheLayer) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({12, 4100});
  const Linear linear{at::randn({2500, 4100}).to(at::kBFloat16), at::randn({2500})};
  const at::Tensor expected = at::linear(x, linear.weight.to(at::kFloat), linear.bias);
  EXPECT_LE(linear(x).sub(expected).abs().max().item<float>(), 2e-3f);
}

// Verifies that a decode step's bits depend neither on the thread count nor on the other rows.
TEST(Linear, SkinnyGemmHaveAFixedOrder) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({4, 512});
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Linear linear{at::randn({1000, 512}).to(dtype), {}};
    at::set_num_threads(1);
    const at::Tensor one = linear(x);
    at::set_num_threads(2);
    EXPECT_TRUE(at::equal(linear(x), one));
    EXPECT_TRUE(at::equal(linear(x.narrow(0, 2, 1)), one.narrow(0, 2, 1)));
  }
  at::set_num_threads(threads);
}

// Verifies that bf16 activations are summed in float32 and rounded once, bias included.
TEST(Linear, BfloatActivationsRoundOnce) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({2, 300}).to(at::kBFloat16);
  const Linear linear{at::randn({50, 300}).to(at::kBFloat16), at::randn({50}).to(at::kBFloat16)};
  const at::Tensor exact =
      at::linear(x.to(at::kDouble), linear.weight.to(at::kDouble), linear.bias.to(at::kDouble));
  const at::Tensor y = linear(x);
  ASSERT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_LE(y.to(at::kDouble).sub(exact).abs().div(exact.abs().add(1e-3)).max().item<double>(),
            1.0 / 256 + 1e-3);
}

}  // namespace
}  // namespace bestreel::videoscore2
