// What the decode kernels reach beside at::linear and beside the machine's own read bandwidth.
//
//   decode_bench THREADS LAYERS ROUNDS [ACTIVATIONS/WEIGHTS]
//
// The weights are LAYERS layers of Qwen2.5-VL-7B's decoder, larger together than every cache. A
// round measures everything once, in turn; printed is the median over the rounds, and the best, one
// JSON object a line. With one thread, processor time is measured: a busy machine disturbs it less.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sum.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "reward/videoscore2/kernels/isa.h"
#include "reward/videoscore2/kernels/skinny_gemm.h"

namespace {

using namespace bestreel::videoscore2;

struct Shape {
  std::int64_t out, in;
};

struct Measured {
  std::string what, activations, weights;
  std::int64_t rows;
  double bytes;
  std::function<void()> work;
  std::vector<double> seconds{};
};

std::string_view name(Element element) {
  switch (element) {
    case Element::kFloat32:
      return "fp32";
    case Element::kBFloat16:
      return "bf16";
    case Element::kFloat16:
      return "fp16";
    case Element::kInt8:
      return "int8";
  }
  return "";
}

/// Reads every byte and does next to nothing with it: what no kernel can beat.
void read_all(const char* data, std::int64_t bytes) {
  at::parallel_for(0, bytes / 4096, 64, [&](std::int64_t begin, std::int64_t end) {
    // Four streams: one alone does not keep enough of the memory busy.
    const std::int64_t quarter = (end - begin) / 4 * 4096 / 8;
    const auto* p = reinterpret_cast<const std::uint64_t*>(data + begin * 4096);
    std::uint64_t sums[4][8] = {};
    for (std::int64_t i = 0; i + 8 <= quarter; i += 8)
      for (int s = 0; s < 4; ++s)
        for (int l = 0; l < 8; ++l) sums[s][l] += p[s * quarter + i + l];
    std::uint64_t sum = 0;
    for (auto& stream : sums)
      for (const std::uint64_t lane : stream) sum += lane;
    asm volatile("" ::"r"(sum));
  });
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::int64_t otherwise) {
    return argc > i ? std::stoll(argv[i]) : otherwise;
  };
  const int threads = static_cast<int>(argument(1, 1));
  const std::int64_t layers = std::max<std::int64_t>(2, argument(2, 3)), rounds = argument(3, 3);
  constexpr std::int64_t hidden = 3584, wide = 18944, kv = 512;
  const std::string only = argc > 4 ? argv[4] : "";
  at::set_num_threads(threads);
  const c10::InferenceMode inference;

  const std::vector<Shape> shapes = {{hidden, hidden}, {kv, hidden},   {kv, hidden},
                                     {hidden, hidden}, {wide, hidden}, {wide, hidden},
                                     {hidden, wide}};
  std::int64_t count = 0;
  for (const Shape& s : shapes) count += s.out * s.in * layers;
  // bfloat16 values whose bytes also do as int8 and, in half the count, as float32.
  const at::Tensor storage = at::empty({count}, at::kBFloat16);
  auto* bits = static_cast<std::uint16_t*>(storage.mutable_data_ptr());
  at::parallel_for(0, count, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    std::uint32_t state = static_cast<std::uint32_t>(begin) * 2654435761u + 1;
    for (std::int64_t i = begin; i < end; ++i) {
      state = state * 1664525u + 1013904223u;
      bits[i] = static_cast<std::uint16_t>(0x3C00 | (state >> 16 & 0x80FF));
    }
  });
  const auto* data = static_cast<const char*>(storage.const_data_ptr());
  const double all = static_cast<double>(count) * 2;

  std::vector<Measured> measured;
  measured.push_back({"read", "", "", 0, all, [=] { read_all(data, count * 2); }});
  const at::Tensor floats = at::ones({1 << 16, 1 << 12}), vector = at::ones({1 << 12});
  measured.push_back({"read", "", "", 0, 4.0 * (1 << 28), [=] { (void)at::mv(floats, vector); }});
  measured.push_back({"read", "", "", 0, 4.0 * (1 << 28), [=] { (void)floats.sum(); }});

  const std::vector<float> scales(static_cast<std::size_t>(std::max(hidden, wide)) * 256, 0.01f);
  for (const std::int64_t rows : {1, 4, 8, 16}) {
    const at::Tensor x32 = at::randn({rows, std::max(hidden, wide)});
    const at::Tensor x16 = x32.to(at::kBFloat16);
    const at::Tensor y = at::empty({rows, std::max(hidden, wide)});
    for (const Element activations : {Element::kFloat32, Element::kBFloat16})
      for (const Element weights :
           {Element::kBFloat16, Element::kInt8, Element::kFloat16, Element::kFloat32}) {
        const std::int64_t size = weights == Element::kFloat32 ? 4
                                  : weights == Element::kInt8  ? 1
                                                               : 2;
        if (!only.empty() && only != fmt::format("{}/{}", name(activations), name(weights)))
          continue;
        if (only.empty() && weights != Element::kBFloat16 && weights != Element::kInt8) continue;
        const void* x =
            activations == Element::kFloat32 ? x32.const_data_ptr() : x16.const_data_ptr();
        measured.push_back(
            {"kernel", std::string(name(activations)), std::string(name(weights)), rows,
             all / layers / 2 * size * std::max<std::int64_t>(1, layers * 2 / size),
             [=, &scales, keep = std::vector{x32, x16, y}] {
               void* out = keep[2].data_ptr();
               // As many whole layers as the storage holds of this dtype.
               const char* w = data;
               for (std::int64_t l = 0; l < std::max<std::int64_t>(1, layers * 2 / size); ++l)
                 for (const Shape& s : shapes) {
                   skinny_gemm({.rows = rows,
                                .in = s.in,
                                .out = s.out,
                                .activations = activations,
                                .weights = weights,
                                .x = x,
                                .weight = w,
                                .bias = nullptr,
                                .scale = scales.data(),
                                .group = 128,
                                .y = out});
                   w += s.out * s.in * size;
                 }
             }});
      }
    if (!only.empty()) continue;
    measured.push_back({"at::linear", "bf16", "bf16", rows, all, [=] {
                          std::int64_t at = 0;
                          for (std::int64_t l = 0; l < layers; ++l)
                            for (const Shape& s : shapes) {
                              const at::Tensor w =
                                  storage.narrow(0, at, s.out * s.in).view({s.out, s.in});
                              (void)at::linear(x16.narrow(1, 0, s.in), w);
                              at += s.out * s.in;
                            }
                        }});
  }

  const auto now = [&] {
    timespec t{};
    ::clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  for (std::int64_t round = 0; round < rounds; ++round)
    for (Measured& m : measured) {
      const double begin = now();
      m.work();
      m.seconds.push_back(now() - begin);
    }
  for (Measured& m : measured) {
    std::sort(m.seconds.begin(), m.seconds.end());
    fmt::print(
        "{{\"isa\": \"{}\", \"what\": \"{}\", \"activations\": \"{}\", \"weights\": \"{}\", "
        "\"rows\": {}, "
        "\"gb_per_second\": {:.2f}, \"best\": {:.2f}}}\n",
        name_of(current_isa()), m.what, m.activations, m.weights, m.rows,
        m.bytes / m.seconds[m.seconds.size() / 2] / 1e9, m.bytes / m.seconds.front() / 1e9);
  }
}
