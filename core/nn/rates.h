// What this machine does in a second, measured in one. Torch-free.
#pragma once

#include <cstdint>

#include "core/base/export.h"

namespace bestreel::nn {

struct Rates {
  double flops = 0;             ///< a second, of a product of large float32 matrices
  double bytes_per_second = 0;  ///< at which memory is read in order
};

/// Takes about one second; holds 128 MiB meanwhile. `threads`: of the operators.
BESTREEL_API Rates measure_rates(int threads);

/// The resident set of this process, bytes, once its libraries have done a product and a
/// convolution, which is when they load what they need.
BESTREEL_API std::int64_t resident_after_warm_up(int threads);

}  // namespace bestreel::nn
