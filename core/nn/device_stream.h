// Queues of a device's work, and what orders them: the same for every device.
//
// Streams and events are libtorch's own neutral ones. Captured graphs and private pools exist on
// CUDA alone (core/nn/cuda); elsewhere a graph is its function, run again, and a pool is nothing,
// so that the code that uses them is the same and is tested without a GPU.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>

#include <functional>
#include <memory>
#include <optional>

#include "core/base/export.h"

namespace bestreel::nn {

/// A queue of work in order; on the CPU, where work is done when the call returns, only a name.
/// libtorch has 32 a priority and hands them out in turn: keep one, do not make many.
BESTREEL_API c10::Stream current_stream(at::Device device);
BESTREEL_API c10::Stream own_stream(at::Device device, bool high_priority);

/// Marks how far a stream is. Nobody waits on the host. Nothing on the CPU.
class BESTREEL_API Event {
 public:
  /// Now, on the calling thread's current stream of `device`.
  static Event mark(at::Device device);
  /// What the calling thread's current stream is given from here on runs after the mark.
  void wait() const;

 private:
  std::optional<c10::Event> event_;
};

/// Memory of its own for the work of one stream, so that two models on one device do not fragment
/// each other's. Tensors may outlive it.
class BESTREEL_API Pool {
 public:
  static std::shared_ptr<Pool> make(at::Device device);
  virtual ~Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// From begin() to end() memory that `stream`'s work asks for comes from here. One stream only;
  /// pairs may nest and come from several threads.
  virtual void begin(c10::Stream stream) = 0;
  virtual void end() = 0;

 protected:
  Pool() = default;
};

/// A stream and a pool: one model's place on a device that it shares.
///
/// Nothing orders a context against the other streams but events: what it reads of theirs must have
/// been marked there and waited for here, or the two models would run one after the other.
class BESTREEL_API StreamContext {
 public:
  /// The context's work runs after what the current stream has been given so far (the weights).
  StreamContext(at::Device device, bool high_priority);

  /// The calling thread's work goes to the context. Not across a wait for other threads: while any
  /// pool is in use, memory that several streams have used is not reused.
  class BESTREEL_API Scope {
   public:
    explicit Scope(const StreamContext& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const StreamContext& context_;
    std::optional<c10::StreamGuard> on_context_;
  };

 private:
  at::Device device_;
  c10::Stream stream_;
  std::shared_ptr<Pool> pool_;
  Event made_;
};

/// Work that is recorded once and then started as a whole, at the cost of one launch.
class BESTREEL_API Graph {
 public:
  /// `step` is run a few times to warm up and once to record. It must read and write the same
  /// tensors each time, leave behind the same whether it ran once or often, never wait for the
  /// device, and what it makes must be kept by itself. While it records, other threads may use the
  /// device. Error "graph_failed": the step did what cannot be recorded.
  static std::unique_ptr<Graph> capture(at::Device device, std::function<void()> step);
  virtual ~Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  /// On the calling thread's current stream.
  virtual void replay() = 0;

 protected:
  Graph() = default;
};

/// How often capture() runs the step before it records it.
inline constexpr int kGraphWarmUps = 2;

}  // namespace bestreel::nn
