// Private to the session: a thread that encodes and writes videos, so that no engine waits for it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace bestreel::session {

/// Does jobs one after the other, in the order in which they came; what is left when it ends is
/// dropped. A job throws nothing. Every method may be called from any thread.
class Writer {
 public:
  explicit Writer(std::size_t capacity) : capacity_(capacity), thread_([this] { work(); }) {}
  ~Writer() {
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
      waiting_.clear();
    }
    changed_.notify_all();
    thread_.join();
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// Blocks while `capacity` jobs wait; never call it with a lock that a job takes.
  void push(std::function<void()> job) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return waiting_.size() < capacity_; });
      waiting_.push_back(std::move(job));
    }
    changed_.notify_all();
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> job;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return closed_ || !waiting_.empty(); });
        if (closed_) return;
        job = std::move(waiting_.front());
        waiting_.pop_front();
      }
      changed_.notify_all();
      job();
    }
  }

  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace bestreel::session
