#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/softmax.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "reward/videoscore2/kernels/attention.h"
#include "reward/videoscore2/kernels/isa.h"
#include "reward/videoscore2/kernels/skinny_gemm.h"

namespace bestreel::videoscore2 {
namespace {

/// Each instruction set of this machine in turn; the fastest again afterwards.
template <typename Work>
void on_every_isa(const Work& work) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(name_of(isa));
    use_isa(isa);
    work(isa);
  }
  use_isa(available_isas().back());
}

at::ScalarType type_of(Element element) {
  return element == Element::kFloat32    ? at::kFloat
         : element == Element::kBFloat16 ? at::kBFloat16
         : element == Element::kFloat16  ? at::kHalf
                                         : at::kChar;
}

struct Case {
  Element weights, activations;
  at::Tensor weight, scale, bias;
  at::Tensor exact;  // (out, in) double
  std::int64_t group = 128;
  std::vector<char> unaligned{};

  Case(Element w, Element a, std::int64_t in, std::int64_t out) : weights(w), activations(a) {
    if (w == Element::kInt8) {
      weight = at::randint(-127, 128, {out, in}).to(at::kChar);
      scale = at::randn({out, (in + group - 1) / group}).mul_(0.01);
      exact = weight.to(at::kDouble)
                  .mul(at::repeat_interleave(scale.to(at::kDouble), group, 1).narrow(1, 0, in));
    } else {
      weight = at::randn({out, in}).to(type_of(w));
      exact = weight.to(at::kDouble);
    }
    bias = at::randn({out}).to(type_of(a));
    // One element off every alignment, as a tensor in a safetensors file may be.
    const std::size_t off = weight.element_size();
    unaligned.resize(weight.nbytes() + 64 + off);
    std::memcpy(data(), weight.const_data_ptr(), weight.nbytes());
  }

  char* data() {
    auto* p = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(unaligned.data()) + 63) &
                                      ~std::uintptr_t{63});
    return p + weight.element_size();
  }

  at::Tensor operator()(const at::Tensor& x, bool with_bias = true) {
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    skinny_gemm({.rows = x.size(0),
                 .in = weight.size(1),
                 .out = weight.size(0),
                 .activations = activations,
                 .weights = weights,
                 .x = x.const_data_ptr(),
                 .weight = data(),
                 .bias = with_bias ? bias.const_data_ptr() : nullptr,
                 .scale = scale.defined() ? scale.const_data_ptr<float>() : nullptr,
                 .group = group,
                 .y = y.mutable_data_ptr()});
    return y;
  }
};

constexpr Element kWeights[] = {Element::kFloat32, Element::kBFloat16, Element::kFloat16,
                                Element::kInt8};
constexpr Element kActivations[] = {Element::kFloat32, Element::kBFloat16};

// Verifies every instruction set, dtype and number of rows against double precision, for sizes off
// every vector width and weights off every alignment: the error is that of float32 sums, and of one
// rounding where y is bfloat16.
TEST(SkinnyGemm, MatchesDoublePrecision) {
  at::manual_seed(1);
  for (const Element weights : kWeights)
    for (const Element activations : kActivations)
      for (const std::int64_t in : {1, 7, 33, 64, 1030})
        for (const std::int64_t out : {1, 29}) {
          Case layer(weights, activations, in, out);
          const at::Tensor x = at::randn({16, in}).to(type_of(activations));
          const at::Tensor expected =
              at::linear(x.to(at::kDouble), layer.exact, layer.bias.to(at::kDouble));
          // What rounding may do is in proportion to the sum of the products' sizes.
          const at::Tensor size = at::linear(x.to(at::kDouble).abs(), layer.exact.abs(),
                                             layer.bias.to(at::kDouble).abs());
          on_every_isa([&](Isa) {
            for (const std::int64_t rows : {1, 2, 3, 5, 8, 16}) {
              at::Tensor allowed = size.narrow(0, 0, rows).mul(2e-6);
              if (activations == Element::kBFloat16)
                allowed = allowed.add(expected.narrow(0, 0, rows).abs().mul(1.0 / 250));
              const at::Tensor y = layer(x.narrow(0, 0, rows)).to(at::kDouble);
              EXPECT_LE(y.sub(expected.narrow(0, 0, rows)).abs().sub(allowed).max().item<double>(),
                        0)
                  << "weights " << int(weights) << " activations " << int(activations) << " "
                  << rows << "x" << in << "x" << out;
            }
          });
        }
}

// Verifies that a row's bits depend neither on how many rows there are, nor on their order, nor on
// the thread count.
TEST(SkinnyGemm, BitsDependOnTheRowAlone) {
  at::manual_seed(2);
  const int threads = at::get_num_threads();
  for (const Element weights : kWeights)
    for (const Element activations : kActivations)
      for (const std::int64_t in : {203, 4100}) {
        Case layer(weights, activations, in, 203);
        const at::Tensor x = at::randn({kSkinnyGemm, in}).to(type_of(activations));
        on_every_isa([&](Isa) {
          at::set_num_threads(1);
          const at::Tensor all = layer(x);
          at::set_num_threads(3);
          EXPECT_TRUE(at::equal(layer(x), all));
          EXPECT_TRUE(at::equal(layer(x.flip(0)), all.flip(0)));
          for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16})
            EXPECT_TRUE(
                at::equal(layer(x.narrow(0, 11, rows).contiguous()), all.narrow(0, 11, rows)))
                << rows << " rows";
        });
      }
  at::set_num_threads(threads);
}

// Verifies the numbers that are easily widened wrongly: subnormal halves, the greatest ones, signed
// zeros, infinity and NaN, one at a time.
TEST(SkinnyGemm, SpecialHalvesAreWidenedAsTorchDoes) {
  const std::vector<std::uint16_t> bits = {0x0001, 0x03FF, 0x0400, 0x7BFF, 0x8001,
                                           0x8000, 0x7C00, 0xFC00, 0x7E00, 0x3C00};
  for (const Element weights : {Element::kFloat16, Element::kBFloat16}) {
    at::Tensor weight = at::empty({static_cast<std::int64_t>(bits.size()), 1}, type_of(weights));
    std::memcpy(weight.mutable_data_ptr(), bits.data(), bits.size() * 2);
    Case layer(weights, Element::kFloat32, 1, weight.size(0));
    std::memcpy(layer.data(), bits.data(), bits.size() * 2);
    const at::Tensor x = at::ones({1, 1});
    const at::Tensor expected = weight.to(at::kFloat).view({1, -1});
    on_every_isa([&](Isa) {
      const at::Tensor y = layer(x, /*with_bias=*/false);
      for (std::int64_t i = 0; i < y.numel(); ++i) {
        const float got = y.data_ptr<float>()[i], wanted = expected.data_ptr<float>()[i];
        EXPECT_TRUE(got == wanted || (got != got && wanted != wanted))
            << std::hex << bits[static_cast<std::size_t>(i)] << ": " << got << " != " << wanted;
      }
    });
  }
}

// ---- Attention ----------------------------------------------------------------------------------

struct Sequence {
  at::Tensor query, keys, values;  // (heads, head), (kv_heads, capacity, head)
  std::int64_t length;
};

Sequence sequence(const AttentionShape& s, std::int64_t length) {
  const std::int64_t capacity = length + 3;
  return {at::randn({s.kv_heads * s.group, s.head}).to(type_of(s.activations)),
          at::randn({s.kv_heads, capacity, s.head}).to(type_of(s.cache)),
          at::randn({s.kv_heads, capacity, s.head}).to(type_of(s.cache)), length};
}

KvPart part(const Sequence& q, std::int64_t begin, std::int64_t length) {
  const std::int64_t offset =
      begin * q.keys.size(2) * static_cast<std::int64_t>(q.keys.element_size());
  return {static_cast<const char*>(q.keys.const_data_ptr()) + offset,
          static_cast<const char*>(q.values.const_data_ptr()) + offset, q.keys.stride(0), length};
}

/// (rows) of (heads, head); `cuts`: where the parts of every sequence end.
std::vector<at::Tensor> attended(const AttentionShape& s, const std::vector<const Sequence*>& batch,
                                 const std::vector<std::int64_t>& cuts = {}) {
  std::vector<std::vector<KvPart>> parts;
  std::vector<at::Tensor> out;
  std::vector<AttentionRow> rows;
  for (const Sequence* q : batch) {
    parts.emplace_back();
    std::int64_t begin = 0;
    for (const std::int64_t cut : cuts) {
      const std::int64_t end = std::min(cut, q->length);
      parts.back().push_back(part(*q, begin, end - begin));
      begin = end;
    }
    parts.back().push_back(part(*q, begin, q->length - begin));
    out.push_back(at::empty_like(q->query));
  }
  for (std::size_t i = 0; i < batch.size(); ++i)
    rows.push_back({batch[i]->query.const_data_ptr(), parts[i], out[i].mutable_data_ptr()});
  attend(s, rows);
  return out;
}

at::Tensor exactly(const AttentionShape& s, const Sequence& q) {
  const auto wide = [&](const at::Tensor& cache) {
    return at::repeat_interleave(cache.narrow(1, 0, q.length).to(at::kDouble), s.group, 0);
  };
  const at::Tensor products =
      wide(q.keys).matmul(q.query.to(at::kDouble).unsqueeze(-1)).squeeze(-1).mul(double(s.scale));
  return at::softmax(products, -1).unsqueeze(1).matmul(wide(q.values)).squeeze(1);
}

// Verifies attention against double precision for lengths around a block's end, head sizes off the
// vector width, groups of every size, and both dtypes of the cache and of the activations.
TEST(Attention, MatchesDoublePrecision) {
  at::manual_seed(3);
  for (const Element activations : kActivations)
    for (const Element cache : kActivations)
      for (const auto& [kv, group, head] : std::vector<std::array<std::int64_t, 3>>{
               {2, 7, 128}, {1, 1, 8}, {2, 2, 20}, {1, 5, 80}}) {
        const AttentionShape s{kv, group, head, 1.0f / std::sqrt(float(head)), activations, cache};
        for (const std::int64_t length : {1, 5, 255, 256, 257, 700}) {
          const Sequence q = sequence(s, length);
          const at::Tensor expected = exactly(s, q);
          const double allowed = activations == Element::kFloat32 ? 3e-6 : 1.0 / 64;
          on_every_isa([&](Isa) {
            const at::Tensor y = attended(s, {&q})[0].to(at::kDouble);
            EXPECT_LE(y.sub(expected).abs().max().item<double>(), allowed)
                << kv << "x" << group << "x" << head << ", length " << length;
          });
        }
      }
}

// Verifies that a sequence's bits depend neither on the company nor on the thread count, nor on
// where its cache is cut: a forked prefill reads as one cache.
TEST(Attention, BitsDependOnTheSequenceAlone) {
  at::manual_seed(4);
  const int threads = at::get_num_threads();
  const AttentionShape s{2, 7, 64, 0.125f, Element::kFloat32, Element::kFloat32};
  const Sequence a = sequence(s, 700), b = sequence(s, 3), c = sequence(s, 256);
  on_every_isa([&](Isa) {
    at::set_num_threads(1);
    const at::Tensor alone = attended(s, {&a})[0];
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(attended(s, {&a})[0], alone));
    EXPECT_TRUE(at::equal(attended(s, {&b, &c, &a, &b})[2], alone));
    EXPECT_TRUE(at::equal(attended(s, {&c, &a}, {100, 101, 300})[1], alone));
  });
  at::set_num_threads(threads);
}

// Verifies that a number that is not finite is not hidden, wherever it stands.
TEST(Attention, NanStaysNan) {
  const AttentionShape s{1, 1, 16, 0.25f, Element::kFloat32, Element::kFloat32};
  on_every_isa([&](Isa) {
    for (const std::int64_t where : {0, 4, 299}) {
      Sequence q = sequence(s, 300);
      q.keys[0][where][3] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_TRUE(attended(s, {&q})[0].isnan().all().item<bool>()) << where;
    }
  });
}

// ---- Choosing the instruction set ---------------------------------------------------------------

// Verifies that every processor has at least one path and that the fastest is the default.
TEST(Isa, PortableIsAlwaysThere) {
  ASSERT_FALSE(available_isas().empty());
  EXPECT_EQ(available_isas().front(), Isa::kPortable);
  EXPECT_EQ(current_isa(), available_isas().back());
}

}  // namespace
}  // namespace bestreel::videoscore2
