// Which device computes, and how data of the host reaches it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "core/base/export.h"

namespace bestreel::nn {

/// "cpu", "cuda" or "cuda:1"; also the name of a backend that has registered itself with libtorch.
/// UsageError for another word; Error "device_missing" where there is no such device.
BESTREEL_API at::Device parse_device(const std::string& word);

/// A tensor of the CPU on the device, without making the host wait: through pinned memory, in the
/// order of the current stream. On the CPU the tensor itself.
BESTREEL_API at::Tensor upload(const at::Tensor& host, at::Device device);

}  // namespace bestreel::nn
