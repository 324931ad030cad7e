// What the programs that time one model on one device share.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/nn/device.h"

namespace bestreel::speed {

using nlohmann::json;

/// Until the device has done all that it was given.
inline void finish(at::Device device) {
  if (!device.is_cpu())
    c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

/// One measured value, told at once: who is stopped later has said it.
inline void tell(const std::string& name, double value, const std::string& unit) {
  fmt::print("{}\n", json{{"name", name}, {"value", value}, {"unit", unit}}.dump());
  std::fflush(stdout);
}
inline void tell_check(const std::string& name, bool ok, const std::string& detail) {
  fmt::print("{}\n", json{{"check", name}, {"ok", ok}, {"detail", detail}}.dump());
  std::fflush(stdout);
}

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// Seconds of `work` to the device's end, the median of `rounds`; the first call is told apart,
/// since it also loads kernels and plans.
template <class Work>
double timed(const std::string& name, at::Device device, int rounds, const Work& work) {
  std::vector<double> seconds;
  for (int i = 0; i <= rounds; ++i) {
    finish(device);
    const Clock clock;
    work();
    finish(device);
    seconds.push_back(clock.seconds());
    if (i == 0) tell(name + ", first call", seconds[0], "s");
  }
  if (seconds.size() > 1) seconds.erase(seconds.begin());
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  tell(name, seconds[seconds.size() / 2], "s");
  return seconds[seconds.size() / 2];
}

/// PROGRAM REQUEST.json: values on stdout, a JSON object a line.
template <class Work>
int run(int argc, char** argv, const Work& work) {
  if (argc != 2) {
    fmt::print(stderr, "usage: {} REQUEST.json\n", argv[0]);
    return 2;
  }
  try {
    const json request = json::parse(read_file(argv[1]));
    const c10::InferenceMode no_grad;
    work(request, nn::parse_device(request["device"]));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace bestreel::speed
