// What only CUDA has. graph.cpp where the toolkit is found, absent.cpp elsewhere. Private.
#pragma once

#include <functional>
#include <memory>

#include "core/nn/device_stream.h"

namespace bestreel::nn::cuda {

std::shared_ptr<Pool> make_pool(at::Device device);
std::unique_ptr<Graph> capture(at::Device device, std::function<void()> step);

}  // namespace bestreel::nn::cuda
