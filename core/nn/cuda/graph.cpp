// libtorch's CUDA graphs and memory pools. No kernels of our own.
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/cuda/MemPool.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <mutex>
#include <optional>

#include "core/base/fail.h"
#include "core/nn/cuda/cuda.h"

namespace bestreel::nn::cuda {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

class CudaPool final : public Pool {
 public:
  explicit CudaPool(at::Device device) : device_(device) {
    const c10::cuda::CUDAGuard on(device);  // the pool is of the device that is current now
    pool_.emplace();
  }

  void begin(c10::Stream stream) override {
    const std::lock_guard lock(mutex_);
    if (users_++ > 0) return;
    // By stream and not by thread: work of another model on this thread keeps out.
    allocator::beginAllocateToPool(device_.index(), pool_->id(),
                                   [mine = c10::cuda::CUDAStream(stream).stream()](
                                       cudaStream_t asks) { return asks == mine; });
  }

  void end() override {
    const std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    allocator::endAllocateToPool(device_.index(), pool_->id());
    allocator::releasePool(device_.index(), pool_->id());  // what begin took; the pool itself stays
  }

 private:
  at::Device device_;
  std::mutex mutex_;
  int users_ = 0;
  std::optional<at::cuda::MemPool> pool_;
};

class CudaGraph final : public Graph {
 public:
  CudaGraph(at::Device device, std::function<void()> step) : step_(std::move(step)) {
    const c10::cuda::CUDAGuard on(device);
    // Not the caller's stream: the default one cannot be recorded, and a pool of the caller's would
    // take the graph's memory back. High priority is kept by the graph's nodes.
    const c10::cuda::CUDAStream side =
        c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index());
    const c10::cuda::CUDAStream caller = c10::cuda::getCurrentCUDAStream(device.index());
    order(caller, side);
    {
      const c10::cuda::CUDAStreamGuard record_here(side);
      // The libraries make handles and workspaces at their first use, which may not be recorded.
      for (int i = 0; i < kGraphWarmUps; ++i) step_();
      graph_.emplace();
      // Thread-local: another thread's cudaMalloc would break a global capture.
      graph_->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      try {
        step_();
        graph_->capture_end();
      } catch (const c10::Error& error) {
        abandon();
        const std::string what = error.what_without_backtrace();
        fail("graph_failed", "device", "the step could not be recorded ({}): please report this",
             what.substr(0, what.find('\n')));
      }
    }
    order(side, caller);
  }

  void replay() override { graph_->replay(); }

 private:
  static void order(const c10::cuda::CUDAStream& first, const c10::cuda::CUDAStream& then) {
    at::cuda::CUDAEvent mark;
    mark.record(first);
    mark.block(then);
  }

  /// Takes the stream out of its capture, which has failed already.
  void abandon() noexcept {
    try {
      graph_->capture_end();
    } catch (const std::exception&) {
    }
  }

  // What the step made and keeps lies in the graph's memory: it goes with the graph.
  std::function<void()> step_;
  std::optional<at::cuda::CUDAGraph> graph_;  // its constructor throws where there is no GPU
};

}  // namespace

std::shared_ptr<Pool> make_pool(at::Device device) { return std::make_shared<CudaPool>(device); }

std::unique_ptr<Graph> capture(at::Device device, std::function<void()> step) {
  return std::make_unique<CudaGraph>(device, std::move(step));
}

}  // namespace bestreel::nn::cuda
