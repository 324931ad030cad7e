// The twin of graph.cpp in a build without CUDA. parse_device() has refused such a device before.
#include "core/base/fail.h"
#include "core/nn/cuda/cuda.h"

namespace bestreel::nn::cuda {
namespace {

[[noreturn]] void absent() {
  fail("device_missing", "device", "this build has no CUDA part: build where nvcc is found");
}

}  // namespace

std::shared_ptr<Pool> make_pool(at::Device) { absent(); }
std::unique_ptr<Graph> capture(at::Device, std::function<void()>) { absent(); }

}  // namespace bestreel::nn::cuda
