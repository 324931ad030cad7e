// What libtorch is and sees. Torch-free.
#pragma once

#include <string>

#include "core/base/export.h"

namespace bestreel::nn {

/// "2.11.0", with "+CUDA" where the CUDA part is linked.
BESTREEL_API std::string runtime_version();

/// "NVIDIA ... (79 GiB free of 80)" per device, with commas; empty where no GPU is usable.
BESTREEL_API std::string gpu_description();

/// The CPU threads of the calling thread's tensor operators from here on: the count belongs to the
/// thread that calls them. The one place where it is set.
BESTREEL_API void set_threads(int threads);

}  // namespace bestreel::nn
