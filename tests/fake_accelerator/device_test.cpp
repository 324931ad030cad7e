// Streams, graphs and uploads on a device that is not the CPU: the fake accelerator, or the one
// that BESTREEL_TEST_DEVICE names.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "core/nn/device.h"
#include "core/nn/device_stream.h"
#include "tests/fake_accelerator/tested_device.h"

namespace bestreel::nn {
namespace {

// A backend that registered itself is found by its name.
TEST(DeviceOnFake, IsFoundByName) {
  NEEDS_COUNTERS();
  EXPECT_EQ(parse_device("fake"), fake::device());
}

// An upload does not make the host wait.
TEST(DeviceOnFake, UploadDoesNotWait) {
  fake::reset_counters();
  const at::Tensor there = upload(at::full({3}, 7.0f), tested());
  EXPECT_EQ(there.device(), tested());
  if (fake::registered()) {
    EXPECT_EQ(fake::counters().h2d_async, 1);
  }
  EXPECT_EQ(fake::counters().waits(), 0);
  EXPECT_TRUE(at::equal(there.cpu(), at::full({3}, 7.0f)));
}

// A context has a stream of its own and is ordered after its making by an event, not by the host;
// what others do later does not wait for it.
TEST(DeviceOnFake, LaneIsOrderedByEvents) {
  const c10::InferenceMode no_grad;
  const at::Device device = tested();
  const c10::Stream outside = current_stream(device);
  const std::int64_t counted = fake::registered() ? 1 : 0;
  fake::reset_counters();
  const StreamContext context(device, /*high_priority=*/true);
  EXPECT_EQ(fake::counters().events_recorded, counted);
  {
    const StreamContext::Scope on(context);
    EXPECT_EQ(current_stream(device) == outside, device.is_cpu());
  }
  EXPECT_EQ(current_stream(device), outside);
  EXPECT_EQ(fake::counters().events_recorded, counted);
  EXPECT_EQ(fake::counters().events_waited, counted);
  EXPECT_EQ(fake::counters().waits(), 0);
}

// A step that is run again computes from what its tensors hold then, and does not wait.
TEST(DeviceOnFake, GraphReplaysOnNewInput) {
  const c10::InferenceMode no_grad;
  const at::Tensor weight = at::full({4, 4}, 0.5f).to(tested());
  at::Tensor in = at::ones({2, 4}, tested()), out = at::ones({2, 4}, tested());
  const auto graph = Graph::capture(tested(), [&] { out.copy_(at::mm(in, weight) + in); });
  in.fill_(3);
  fake::reset_counters();
  graph->replay();
  EXPECT_EQ(fake::counters().waits(), 0);
  EXPECT_TRUE(at::equal(out.cpu(), at::full({2, 4}, 9.0f)));
}

}  // namespace
}  // namespace bestreel::nn
