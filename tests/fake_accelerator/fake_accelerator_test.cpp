// What the fake accelerator promises to the tests that use it.
#include "tests/fake_accelerator/fake_accelerator.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/index.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bestreel::fake {
namespace {

at::Tensor random(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) {
  return at::randn(shape, at::kFloat).to(dtype);
}
at::Tensor moved(const at::Tensor& x) { return x.to(device()); }

bool same_bits(const at::Tensor& on_device, const at::Tensor& on_host) {
  const at::Tensor back = on_device.cpu();
  return on_device.device() == device() && back.scalar_type() == on_host.scalar_type() &&
         back.sizes() == on_host.sizes() && back.strides() == on_host.strides() &&
         at::equal(back, on_host);
}

struct Case {
  const char* name;
  std::function<at::Tensor(const at::Tensor& x, const at::Tensor& y)> run;  // both (4, 6, 8)
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"add", [](auto& x, auto& y) { return x + y; }},
      {"number", [](auto& x, auto&) { return x * 3 - 1; }},
      {"number without dimensions", [](auto& x, auto&) { return x * at::full({}, 2.5); }},
      {"broadcast", [](auto& x, auto& y) { return x.mul(y.select(0, 0)); }},
      {"view and transpose", [](auto& x, auto&) { return x.transpose(1, 2).reshape({4, -1}); }},
      {"narrow, in place",
       [](auto& x, auto& y) {
         at::Tensor z = x.clone();
         z.narrow(1, 1, 3).mul_(y.narrow(1, 2, 3));
         return z;
       }},
      {"unfold", [](auto& x, auto&) { return x.unfold(2, 3, 2).contiguous(); }},
      {"cat and stack",
       [](auto& x, auto& y) { return at::stack({at::cat({x, y}, 1), at::cat({y, x}, 1)}); }},
      {"matmul", [](auto& x, auto& y) { return at::matmul(x, y.transpose(1, 2)); }},
      {"linear",
       [](auto& x, auto& y) {
         return at::linear(x, y.select(0, 0), y.select(0, 1).select(1, 0).contiguous());
       }},
      {"addmm", [](auto& x, auto& y) { return at::addmm(y[0].select(1, 1), x[0], y[1].t()); }},
      {"layer_norm", [](auto& x, auto& y) { return at::layer_norm(x, {8}, y[0][0], y[0][1]); }},
      {"rms_norm", [](auto& x, auto& y) { return at::rms_norm(x, {8}, y[0][0], 1e-6); }},
      {"group_norm", [](auto& x, auto&) { return at::group_norm(x, 3); }},
      {"attention",
       [](auto& x, auto& y) {
         return at::scaled_dot_product_attention(x.unsqueeze(0), y.unsqueeze(0), y.unsqueeze(0));
       }},
      {"convolution",
       [](auto& x, auto& y) {
         return at::conv2d(x.unsqueeze(0), y.narrow(1, 0, 3).narrow(2, 0, 3).unsqueeze(0), {}, 1,
                           1);
       }},
      {"softmax", [](auto& x, auto&) { return at::softmax(x, -1, at::kFloat); }},
      {"gelu", [](auto& x, auto&) { return at::gelu(x, "tanh"); }},
      {"where", [](auto& x, auto& y) { return at::where(x > 0, x, y); }},
      {"masked_fill", [](auto& x, auto&) { return x.masked_fill(x.lt(0), -1e9); }},
      {"topk", [](auto& x, auto&) { return std::get<0>(at::topk(x, 3)); }},
      {"sum and mean", [](auto& x, auto&) { return x.sum(1) + x.mean(); }},
      {"gather", [](auto& x, auto&) { return at::gather(x, 2, x.argsort(std::int64_t{2})); }},
      {"arange on the device",
       [](auto& x, auto&) {
         return at::arange(8, x.options().dtype(at::kLong)).to(x.scalar_type()) + x;
       }},
      {"index_put_",
       [](auto& x, auto& y) {
         at::Tensor z = x.clone();
         z.index_put_({at::arange(2, x.options().dtype(at::kLong))}, y.narrow(0, 1, 2));
         return z;
       }},
  };
  return all;
}

// What it computes is what the CPU computes, to the bit, in fp32 and bf16.
TEST(FakeAccelerator, ComputesWhatTheCpuComputes) {
  const c10::InferenceMode no_grad;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = random({4, 6, 8}, dtype), y = random({4, 6, 8}, dtype);
    for (const Case& c : cases()) {
      SCOPED_TRACE(c.name);
      EXPECT_TRUE(same_bits(c.run(moved(x), moved(y)), c.run(x, y))) << c10::toString(dtype);
    }
  }
}

// Complex views, which the rotary embedding needs, are views on the device too.
TEST(FakeAccelerator, ComplexViews) {
  const at::Tensor x = random({5, 3, 2}), angle = random({5, 1});
  const auto turn = [](const at::Tensor& pairs, const at::Tensor& by) {
    return at::view_as_real(at::view_as_complex(pairs) * at::complex(by.cos(), by.sin()));
  };
  EXPECT_TRUE(same_bits(turn(moved(x), moved(angle)), turn(x, angle)));
}

// A view shares its memory with what it views, in both directions.
TEST(FakeAccelerator, ViewsShareMemory) {
  const at::Tensor x = at::zeros({4, 6}, device());
  const at::Tensor view = x.t().narrow(0, 2, 3);
  ASSERT_TRUE(view.is_alias_of(x));
  view.fill_(7);
  EXPECT_EQ(x.sum().item<float>(), 7 * 12);
  x.zero_();
  EXPECT_EQ(view.sum().item<float>(), 0);
}

// A view of an ordinary tensor that is taken in inference mode remains ordinary, as on the CPU.
TEST(FakeAccelerator, ViewsTakenInInferenceMode) {
  const at::Tensor x = at::zeros({4, 6}, device());
  {
    const c10::InferenceMode no_grad;
    const at::Tensor view = x.unsqueeze(0).transpose(0, 1).narrow(0, 1, 2);
    EXPECT_FALSE(view.is_inference());
    EXPECT_TRUE(view.add(1).is_inference());
    view.fill_(3);
  }
  EXPECT_EQ(x.sum().item<float>(), 3 * 12);
}

// An output is written where it lies, and grows on the device where it is too small.
TEST(FakeAccelerator, OutputsAreWrittenInPlaceAndGrow) {
  const at::Tensor a = random({3, 4}), b = random({4, 5}), da = moved(a), db = moved(b);
  at::Tensor whole = at::zeros({3, 9}, device());
  at::Tensor part = whole.narrow(1, 2, 5);
  at::mm_out(part, da, db);
  EXPECT_TRUE(part.is_alias_of(whole));
  EXPECT_TRUE(at::equal(whole.narrow(1, 2, 5).cpu(), at::mm(a, b)));
  EXPECT_EQ(whole.select(1, 8).abs().sum().item<float>(), 0);

  at::Tensor empty = at::empty({0}, device());
  at::mm_out(empty, da, db);
  EXPECT_TRUE(same_bits(empty, at::mm(a, b)));
  EXPECT_TRUE(same_bits(empty.add(1), at::mm(a, b).add(1)));
}

// Resizing keeps what was there, and a resize to the same size keeps a view's strides.
TEST(FakeAccelerator, Resize) {
  at::Tensor x = at::arange(6, at::TensorOptions(at::kFloat).device(device()));
  x.resize_({2, 50});
  EXPECT_EQ(x.device(), device());
  EXPECT_TRUE(at::equal(x.view(-1).narrow(0, 0, 6).cpu(), at::arange(6, at::kFloat)));
  x.fill_(2);
  EXPECT_EQ(x.sum().item<float>(), 200);
  at::Tensor view = x.t();
  view.resize_({50, 2});
  EXPECT_EQ(view.stride(1), 50);
}

// What mixes devices raises, as it would on CUDA.
TEST(FakeAccelerator, MixedDevicesRaise) {
  const at::Tensor x = random({4, 4}), d = moved(x);
  const at::Tensor ids = at::arange(3, at::kLong), dids = moved(ids);
  at::Tensor out = at::empty({4, 4}), device_out = moved(out), number = at::zeros({});
  const std::vector<std::pair<const char*, std::function<void()>>> mixes{
      {"add", [&] { d + x; }},
      {"add, the other way", [&] { x + d; }},
      {"add_ to the host", [&] { at::Tensor(x.clone()).add_(d); }},
      {"add_ to the device", [&] { d.clone().add_(x); }},
      {"add.out on the host", [&] { at::add_out(out, d, d); }},
      {"add.out of the host", [&] { at::add_out(device_out, x, x); }},
      {"sum.out into a number of the host", [&] { at::add_out(number, d.sum(), d.sum()); }},
      {"mm", [&] { at::mm(d, x); }},
      {"addmm's bias", [&] { at::addmm(x[0], d, d); }},
      {"linear's weight", [&] { at::linear(d, x); }},
      {"matmul", [&] { at::matmul(x, d); }},
      {"layer_norm's weight", [&] { at::layer_norm(d, {4}, x[0]); }},
      {"attention's keys", [&] { at::scaled_dot_product_attention(d, x, d); }},
      {"attention's mask", [&] { at::scaled_dot_product_attention(d, d, d, x); }},
      {"convolution's weight",
       [&] { at::conv2d(moved(random({1, 2, 4, 4})), random({2, 2, 3, 3})); }},
      {"cat", [&] { at::cat({d, x}); }},
      {"stack", [&] { at::stack({x, d}); }},
      {"where", [&] { at::where(d > 0, d, x); }},
      {"where's condition", [&] { at::where(x > 0, d, d); }},
      {"masked_fill's mask", [&] { d.masked_fill(x > 0, 1); }},
      {"embedding", [&] { at::embedding(d, ids); }},
      {"embedding of the host", [&] { at::embedding(x, dids); }},
      {"index_select", [&] { at::index_select(d, 0, ids); }},
      {"index of the host by the device", [&] { at::index(x, {dids}); }},
      {"gather", [&] { at::gather(d, 0, ids.view({1, 3})); }},
      {"index_copy_", [&] { d.clone().index_copy_(0, ids, d.narrow(0, 0, 3)); }},
      {"index_put_'s values", [&] { d.clone().index_put_({dids}, x.narrow(0, 0, 3)); }},
      {"scatter", [&] { d.scatter(0, ids.view({1, 3}), 1.0); }},
      {"number of the host in mm's place", [&] { at::addmm(number, d, d); }},
      {"set_ to the host's storage", [&] { at::Tensor(d.clone()).set_(x.storage(), 0, {4}, {1}); }},
  };
  for (const auto& [name, mix] : mixes) {
    SCOPED_TRACE(name);
    EXPECT_THROW(mix(), c10::Error);
  }
}

// What CUDA lets pass, passes: a number without dimensions, indices of the host, copies.
TEST(FakeAccelerator, LegalMixesPass) {
  const at::Tensor x = random({4, 4}), d = moved(x), ids = at::arange(3, at::kLong);
  EXPECT_TRUE(same_bits(d * at::full({}, 2.0f), x * at::full({}, 2.0f)));
  EXPECT_TRUE(same_bits(at::index(d, {ids}), at::index(x, {ids})));
  at::Tensor target = at::zeros({4, 4});
  target.copy_(d);
  EXPECT_TRUE(at::equal(target, x));
  EXPECT_TRUE(same_bits(at::zeros({4, 4}, device()).copy_(x[0]), x[0].expand({4, 4}).contiguous()));
}

// A host that follows a device pointer dies at once.
TEST(FakeAcceleratorDeathTest, HostCannotReadDeviceMemory) {
  const at::Tensor x = at::ones({4}, device());
  const auto* address = static_cast<const volatile float*>(x.const_data_ptr());
  EXPECT_DEATH({ [[maybe_unused]] const float read = *address; }, "");
}

// An address of the host in a device tensor is found at its first use.
TEST(FakeAccelerator, HostMemoryPassedOffAsTheDevicesRaises) {
  float memory[4] = {};
  const at::Tensor x = at::from_blob(
      memory, {4}, {1}, [](void*) {}, at::TensorOptions(at::kFloat).device(device()), device());
  EXPECT_THROW(x.add(1), c10::Error);
}

// Every way by which the host learns something, or waits, is counted apart.
TEST(FakeAccelerator, CountsTransfersAndReads) {
  const at::Tensor x = random({4, 4}), d = moved(x);
  const auto counted = [](const std::function<void()>& run) {
    reset_counters();
    run();
    return counters();
  };
  EXPECT_EQ(counted([&] { (d + d).mul(2); }).waits(), 0);
  EXPECT_EQ(counted([&] { d.sum().item(); }).items, 1);
  EXPECT_EQ(counted([&] { d.cpu(); }).d2h, 1);
  EXPECT_EQ(counted([&] { at::equal(d, d); }).data_dependent, 1);
  EXPECT_EQ(counted([&] { at::index(d, {d > 0}); }).data_dependent, 1);
  EXPECT_EQ(counted([&] { d.masked_select(d > 0); }).data_dependent, 1);
  EXPECT_EQ(counted([&] { d.clone().index_put_({d > 0}, d[0][0]); }).data_dependent, 1);
  EXPECT_EQ(counted([&] { at::index(d, {at::arange(2, at::kLong)}); }).h2d_blocking, 1);

  Counters c = counted([&] { x.to(device()); });
  EXPECT_EQ(c.h2d_blocking, 1);
  EXPECT_EQ(c.h2d_bytes, 64);
  const at::Tensor pinned = x.pin_memory();
  c = counted([&] { pinned.to(device(), /*non_blocking=*/true); });
  EXPECT_EQ(c.h2d_async, 1);
  EXPECT_EQ(c.waits(), 0);
  // Not pinned, so the library has to wait after all.
  EXPECT_EQ(counted([&] { x.to(device(), /*non_blocking=*/true); }).h2d_blocking, 1);
  at::Tensor target = at::empty({4, 4}).pin_memory();
  c = counted([&] { target.copy_(d, /*non_blocking=*/true); });
  EXPECT_EQ(c.d2h_async, 1);
  EXPECT_EQ(c.d2h, 0);
}

// Streams, events and waits go through the library's own neutral interface.
TEST(FakeAccelerator, StreamsAndEventsAreCounted) {
  const c10::impl::VirtualGuardImpl guard(device().type());
  const c10::Stream side = guard.getStreamFromGlobalPool(device(), /*isHighPriority=*/true);
  EXPECT_NE(side, guard.getDefaultStream(device()));
  reset_counters();
  c10::Event event(device().type());
  {
    const c10::StreamGuard on(side);
    EXPECT_EQ(guard.getStream(device()), side);
    event.record(side);
  }
  event.block(guard.getStream(device()));
  EXPECT_EQ(counters().events_recorded, 1);
  EXPECT_EQ(counters().events_waited, 1);
  EXPECT_EQ(counters().waits(), 0);
  event.synchronize();
  EXPECT_EQ(counters().waits(), 1);
}

// A generator of the device draws what the CPU's draws for the same seed.
TEST(FakeAccelerator, GeneratorDrawsTheCpusNumbers) {
  at::Generator host = at::globalContext().defaultGenerator(at::kCPU).clone();
  at::Generator mine = at::globalContext().defaultGenerator(device()).clone();
  host.set_current_seed(5);
  mine.set_current_seed(5);
  const at::Tensor drawn = at::randn({20}, mine, at::TensorOptions(at::kFloat).device(device()));
  EXPECT_TRUE(same_bits(drawn, at::randn({20}, host, at::kFloat)));
}

// Memory comes back: what is allocated is known, and the most of it.
TEST(FakeAccelerator, AccountsForItsMemory) {
  const std::int64_t before = allocated_bytes();
  reset_peak();
  {
    const at::Tensor x = at::empty({1000}, device());
    EXPECT_EQ(allocated_bytes() - before, 4000);
    const at::Tensor y = x + 1;
    EXPECT_EQ(allocated_bytes() - before, 8000);
  }
  EXPECT_EQ(allocated_bytes(), before);
  EXPECT_EQ(peak_bytes() - before, 8000);
}

}  // namespace
}  // namespace bestreel::fake
