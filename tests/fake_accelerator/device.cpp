// The device as libtorch sees it: its streams and events, its generator, its hooks.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <string_view>

#include "tests/fake_accelerator/fake_accelerator.h"
#include "tests/fake_accelerator/internal.h"

namespace bestreel::fake {
namespace {

thread_local c10::StreamId current_stream = 0;

struct Event {
  c10::StreamId stream;
};

/// Everything has run when the call returns, so streams and events are names that are counted.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::DeviceType::PrivateUse1; }
  c10::Device exchangeDevice(c10::Device to) const override {
    check(to);
    return device();
  }
  c10::Device getDevice() const override { return device(); }
  void setDevice(c10::Device to) const override { check(to); }
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }

  c10::Stream getStream(c10::Device) const override { return stream(current_stream); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(0); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return fresh_stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return fresh_stream(); }
  c10::Stream exchangeStream(c10::Stream to) const override {
    const c10::StreamId before = current_stream;
    current_stream = to.id();
    return stream(before);
  }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { ++tally().synchronizes; }
  void synchronizeDevice(c10::DeviceIndex) const override { ++tally().synchronizes; }

  void record(void** event, const c10::Stream& on, c10::DeviceIndex,
              const c10::EventFlag) const override {
    delete static_cast<Event*>(*event);
    *event = new Event{on.id()};
    ++tally().events_recorded;
  }
  void block(void* event, const c10::Stream&) const override {
    if (event != nullptr) ++tally().events_waited;
  }
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override { ++tally().synchronizes; }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }

 private:
  static void check(c10::Device to) {
    TORCH_CHECK(to.index() <= 0, "there is one fake accelerator but number ", to.index(),
                " was asked for");
  }
  static c10::Stream stream(c10::StreamId id) {
    return c10::Stream(c10::Stream::UNSAFE, device(), id);
  }
  static c10::Stream fresh_stream() {
    static std::atomic<c10::StreamId> count{0};
    return stream(++count);
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

/// Draws what a CPU generator of the same seed draws.
struct DeviceGenerator final : c10::GeneratorImpl {
  explicit DeviceGenerator(at::Generator host)
      : GeneratorImpl(device(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
        inner(std::move(host)) {}

  void set_current_seed(std::uint64_t seed) override { inner.set_current_seed(seed); }
  void set_offset(std::uint64_t offset) override { inner.set_offset(offset); }
  std::uint64_t get_offset() const override { return inner.get_offset(); }
  std::uint64_t current_seed() const override { return inner.current_seed(); }
  std::uint64_t seed() override { return inner.seed(); }
  void set_state(const c10::TensorImpl& state) override {
    inner.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return inner.unsafeGetGeneratorImpl()->get_state();
  }
  DeviceGenerator* clone_impl() const override { return new DeviceGenerator(inner.clone()); }

  at::Generator inner;
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const at::Generator it = getNewGenerator();
    return it;
  }
  at::Generator getNewGenerator(c10::DeviceIndex = -1) const override {
    return at::make_generator<DeviceGenerator>(at::detail::createCPUGenerator());
  }
  at::Device getDeviceFromPtr(void* data) const override {
    TORCH_CHECK(is_device_address(data), "the pointer must be of the device");
    return device();
  }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator(); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, std::size_t bytes) const override {
    resize_storage(*storage.unsafeGetStorageImpl(), bytes);
  }
};

[[maybe_unused]] const bool kRegistered = [] {
  if (!registered()) return false;
  c10::register_privateuse1_backend("fake");
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

}  // namespace

bool registered() {
  const char* word = std::getenv("BESTREEL_TEST_DEVICE");
  return word == nullptr || std::string_view(word).empty() || std::string_view(word) == "fake";
}

at::Generator host_generator(const at::Generator& generator) {
  if (!generator.defined() || generator.device().is_cpu()) return generator;
  return static_cast<DeviceGenerator*>(generator.unsafeGetGeneratorImpl())->inner;
}

}  // namespace bestreel::fake
