#include "core/nn/device_stream.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

#include "core/nn/cuda/cuda.h"

namespace bestreel::nn {
namespace {

c10::impl::VirtualGuardImpl guard_of(at::Device device) {
  return c10::impl::VirtualGuardImpl(device.type());
}

/// Where nothing can be recorded, the step itself.
class RunAgain final : public Graph {
 public:
  explicit RunAgain(std::function<void()> step) : step_(std::move(step)) {
    // As often as where it is recorded: a step that may not be repeated is found out here too.
    for (int i = 0; i < kGraphWarmUps; ++i) step_();
  }
  void replay() override { step_(); }

 private:
  std::function<void()> step_;
};

class NoPool final : public Pool {
 public:
  void begin(c10::Stream) override {}
  void end() override {}
};

}  // namespace

c10::Stream current_stream(at::Device device) { return guard_of(device).getStream(device); }

c10::Stream own_stream(at::Device device, bool high_priority) {
  if (device.is_cpu()) return current_stream(device);
  return guard_of(device).getStreamFromGlobalPool(device, high_priority);
}

Event Event::mark(at::Device device) {
  Event mark;
  if (!device.is_cpu()) {
    mark.event_.emplace(device.type());
    mark.event_->record(current_stream(device));
  }
  return mark;
}

void Event::wait() const {
  if (event_) event_->block(current_stream(event_->device()));
}

std::shared_ptr<Pool> Pool::make(at::Device device) {
  if (device.is_cuda()) return cuda::make_pool(device);
  return std::make_shared<NoPool>();
}

std::unique_ptr<Graph> Graph::capture(at::Device device, std::function<void()> step) {
  if (device.is_cuda()) return cuda::capture(device, std::move(step));
  return std::make_unique<RunAgain>(std::move(step));
}

StreamContext::StreamContext(at::Device device, bool high_priority)
    : device_(device),
      stream_(own_stream(device, high_priority)),
      pool_(Pool::make(device)),
      made_(Event::mark(device)) {}

StreamContext::Scope::Scope(const StreamContext& context) : context_(context) {
  if (!context.device_.is_cpu()) on_context_.emplace(context.stream_);
  context.made_.wait();
  context.pool_->begin(context.stream_);
}

StreamContext::Scope::~Scope() { context_.pool_->end(); }

}  // namespace bestreel::nn
