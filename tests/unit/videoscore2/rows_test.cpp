// Note [A row is alone] (language.h), operator by operator.
#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "reward/videoscore2/language.h"
#include "reward/videoscore2/linear.h"
#include "reward/videoscore2/rotary.h"

namespace bestreel::videoscore2 {
namespace {

constexpr std::int64_t kRows = 16;

template <typename Work>
void expect_rows_alone(const at::Tensor& x, Work&& work) {
  for (const std::int64_t rows : {1, 2, 5, 8, 16}) {
    const at::Tensor together = work(x.narrow(0, 0, rows), 0);
    for (std::int64_t r = 0; r < rows; ++r)
      ASSERT_TRUE(at::equal(work(x.narrow(0, r, 1), r)[0], together[r]))
          << "row " << r << " of " << rows << ", " << x.size(-1) << " " << x.scalar_type();
  }
}

// Verifies that the norm of a row does not depend on the others, at sizes on and off the vector
// width.
TEST(Rows, RmsNorm) {
  at::manual_seed(1);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const std::int64_t size : {5, 66, 203, 3584}) {
      const RmsNorm norm{at::randn({size}).to(dtype), 1e-6};
      expect_rows_alone(at::randn({kRows, size}).to(dtype),
                        [&](const at::Tensor& x, std::int64_t) { return norm(x); });
    }
}

// Verifies the same of the rotation, with heads of any even size.
TEST(Rows, Rope) {
  at::manual_seed(2);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const std::int64_t head : {6, 22, 128}) {
      const at::Tensor angle = at::randn({kRows, 1, head / 2});
      const Rope rope{angle.cos().to(dtype), angle.sin().to(dtype)};
      expect_rows_alone(
          at::randn({kRows, 3, head}).to(dtype), [&](const at::Tensor& x, std::int64_t first) {
            return rotate(
                x, {rope.cos.narrow(0, first, x.size(0)), rope.sin.narrow(0, first, x.size(0))});
          });
    }
}

// Verifies the memory of a token in the geometry of Qwen2.5-VL-7B: 57,344 bytes in bfloat16.
TEST(KvCache, Bytes) {
  TextConfig config;
  config.num_layers = 28;
  config.num_heads = 28;
  config.num_kv_heads = 4;
  config.hidden_size = 3584;
  EXPECT_EQ(kv_bytes(config, 1, at::kBFloat16), 57344);
  EXPECT_EQ(kv_bytes(config, 3250, at::kFloat), 2 * 57344 * std::int64_t{3250});
}

}  // namespace
}  // namespace bestreel::videoscore2
