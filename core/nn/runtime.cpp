#include "core/nn/runtime.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include "core/base/fail.h"

namespace bestreel::nn {

std::string runtime_version() {
  return std::string(TORCH_VERSION) + (at::globalContext().hasCUDA() ? "+CUDA" : "");
}

std::string gpu_description() {
  constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
  std::string text;
  try {
    if (!at::accelerator::getAccelerator(/*checked=*/true)) return "";
    for (c10::DeviceIndex i = 0; i < at::accelerator::deviceCount(); ++i) {
      const auto [free, total] = at::accelerator::getMemoryInfo(i);
      text += fmt::format("{}device {}: {:.1f} of {:.1f} GiB free", i == 0 ? "" : ", ", i,
                          static_cast<double>(free) / kGiB, static_cast<double>(total) / kGiB);
    }
  } catch (const c10::Error&) {
    return "";  // a driver that is there but does not answer is no usable GPU
  }
  return text;
}

void set_threads(int threads) { at::set_num_threads(threads); }

}  // namespace bestreel::nn
