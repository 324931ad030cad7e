#include "core/nn/rates.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "core/nn/runtime.h"

namespace bestreel::nn {
namespace {

using Clock = std::chrono::steady_clock;

/// Seconds of the fastest run, in at least three and for at least a third of a second.
template <typename Work>
double fastest(const Work& work) {
  double best = 1e9;
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < 3 || Clock::now() - begin < std::chrono::milliseconds(300); ++i) {
    const Clock::time_point start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace

Rates measure_rates(int threads) {
  const c10::InferenceMode no_grad;
  set_threads(threads);
  constexpr std::int64_t kRows = 256, kSide = 2048, kTall = 16384;
  Rates rates;
  {
    const at::Tensor x = at::ones({kRows, kSide}), w = at::ones({kSide, kSide});
    rates.flops = 2.0 * kRows * kSide * kSide / fastest([&] { return at::mm(x, w); });
  }
  const at::Tensor table = at::ones({kTall, kSide}), vector = at::ones({kSide});
  rates.bytes_per_second = 4.0 * kTall * kSide / fastest([&] { return at::mv(table, vector); });
  return rates;
}

std::int64_t resident_after_warm_up(int threads) {
  const c10::InferenceMode no_grad;
  set_threads(threads);
  const at::Tensor square = at::ones({256, 256});
  at::mm(square, square);
  at::conv2d(at::ones({1, 16, 32, 32}), at::ones({16, 16, 3, 3}));
  std::ifstream stream("/proc/self/statm");
  std::int64_t pages = 0, resident = 0;
  stream >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace bestreel::nn
