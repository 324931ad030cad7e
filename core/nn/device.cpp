#include "core/nn/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceType.h>

#include <charconv>

#include "core/base/fail.h"

namespace bestreel::nn {

at::Device parse_device(const std::string& word) {
  if (word == "cpu") return at::kCPU;
  if (c10::is_privateuse1_backend_registered() && word == c10::get_privateuse1_backend())
    return {at::kPrivateUse1, 0};
  int index = 0;
  bool known = word == "cuda";
  if (word.starts_with("cuda:")) {
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data() + 5, end, index);
    known = error == std::errc() && stop == end && index >= 0;
  }
  if (!known) fail_usage("device", "device must be cpu, cuda or cuda:N but got \"{}\"", word);
  const int count = at::detail::getCUDAHooks().deviceCount();
  if (count == 0)
    fail("device_missing", "device", "{} was asked for but {}: pass --device cpu", word,
         at::globalContext().hasCUDART() ? "the driver offers no usable GPU"
                                         : "this build has no CUDA part");
  if (index >= count)
    fail("device_missing", "device", "{} was asked for but there {}: pass cuda:{} or less", word,
         count == 1 ? "is one GPU" : fmt::format("are {} GPUs", count), count - 1);
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

at::Tensor upload(const at::Tensor& host, at::Device device) {
  if (device.is_cpu()) return host;
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace bestreel::nn
