// Devices by name, streams, pools and graphs: on the CPU, and on a GPU where there is one.
#include "core/nn/device.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/device_stream.h"
#include "tests/test_device.h"

namespace bestreel::nn {
namespace {

bool has_gpu() { return at::globalContext().hasCUDA(); }
// Who names a device by BESTREEL_TEST_DEVICE wants it tested: a missing one is an error then.
const std::string kWord = test_device("");
at::Device device() { return kWord.empty() ? at::Device(at::kCUDA, 0) : parse_device(kWord); }
#define NEEDS_GPU() \
  if (kWord.empty() && !has_gpu()) GTEST_SKIP() << "no GPU here: compiled and linked, not run"

// A device is named as libtorch's users name it; another word is a usage error.
TEST(Device, NamesAndBadNames) {
  EXPECT_EQ(parse_device("cpu"), at::Device(at::kCPU));
  for (const char* bad :
       {"", "gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda1", "CPU", "cuda:99999999999"})
    EXPECT_THROW(parse_device(bad), UsageError) << bad;
}

// A GPU that is not there is a sentence that says why and what to do.
TEST(Device, MissingGpuIsASentence) {
  try {
    parse_device(has_gpu() ? "cuda:120" : "cuda");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "device_missing");
    EXPECT_NE(std::string(error.what()).find("[device] cuda"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("pass "), std::string::npos) << error.what();
  }
}

// The CUDA half is in the program wherever the build found its toolkit.
TEST(Device, CudaIsLinkedWhereItsToolkitIs) {
#ifdef BESTREEL_WITH_CUDA
  EXPECT_TRUE(at::globalContext().hasCUDART());
#else
  EXPECT_FALSE(has_gpu());
#endif
}

void graph_replays(at::Device device) {
  const c10::InferenceMode no_grad;
  const at::Tensor weight = at::full({4, 4}, 0.5f).to(device);
  at::Tensor in = at::ones({2, 4}).to(device), out = at::ones({2, 4}).to(device);
  const auto graph = Graph::capture(device, [&] { out.copy_(at::mm(in, weight) + in); });
  for (const float value : {3.0f, -2.0f}) {
    in.fill_(value);
    graph->replay();
    EXPECT_TRUE(at::equal(out.cpu(), at::full({2, 4}, 3 * value)));
  }
}

// A graph computes from what its tensors hold when it is started, not when it was recorded.
TEST(Graph, ReplaysOnNewInputOnTheCpu) { graph_replays(at::kCPU); }
TEST(Graph, ReplaysOnNewInputOnAGpu) {
  NEEDS_GPU();
  graph_replays(device());
}

// A step that reads its result on the host cannot be recorded, and the device goes on working.
TEST(Graph, HostReadInAStepIsRefusedOnAGpu) {
  NEEDS_GPU();
  const at::Device gpu = device();
  if (gpu.is_cpu()) GTEST_SKIP() << "the CPU records nothing";
  const at::Tensor x = at::ones({4}).to(gpu);
  EXPECT_THROW(Graph::capture(gpu, [&] { x.sum().item(); }), Error);
  graph_replays(gpu);
}

void context_orders(at::Device device) {
  const c10::InferenceMode no_grad;
  const c10::Stream outside = current_stream(device);
  at::Tensor x = at::full({1000, 1000}, 2.0f).to(device), kept;
  x.mul_(4);
  const StreamContext context(device, /*high_priority=*/true);
  Event done;
  {
    const StreamContext::Scope on(context);
    const StreamContext::Scope twice(context);
    EXPECT_EQ(current_stream(device) == outside, device.is_cpu());
    kept = x + 1;
    done = Event::mark(device);
  }
  EXPECT_EQ(current_stream(device), outside);
  done.wait();
  EXPECT_EQ(kept.sum().item<double>(), 9e6);
}

// Work in a context comes after what was asked before the context was made, and a mark in it orders
// what comes after; what it made outlives the scope.
TEST(StreamContext, OrdersWorkOnTheCpu) { context_orders(at::kCPU); }
TEST(StreamContext, OrdersWorkOnAGpu) {
  NEEDS_GPU();
  context_orders(device());
}

// The first thing that a process does with a device may be a context. To be run alone
// (--gtest_filter): after another test the device is no longer new.
TEST(StreamContext, MayBeTheFirstOnAGpu) {
  NEEDS_GPU();
  const c10::InferenceMode no_grad;
  const StreamContext context(device(), /*high_priority=*/true);
  const StreamContext::Scope on(context);
  EXPECT_EQ((at::ones({3}, at::TensorOptions(device())) + 1).sum().item<double>(), 6);
}

// On the CPU there is nothing to upload.
TEST(Upload, CpuIsTheTensorItself) {
  const at::Tensor x = at::ones({3});
  EXPECT_TRUE(upload(x, at::kCPU).is_same(x));
}
TEST(Upload, GpuGetsTheValues) {
  NEEDS_GPU();
  EXPECT_TRUE(at::equal(upload(at::full({3}, 7.0f), device()).cpu(), at::full({3}, 7.0f)));
}

}  // namespace
}  // namespace bestreel::nn
