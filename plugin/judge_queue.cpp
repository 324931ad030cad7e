#include "plugin/judge_queue.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/fail.h"

namespace bestreel {
namespace {

Failure cancelled() {
  return {"cancelled", "[judge] cancelled before it was judged: submit it again"};
}

}  // namespace

struct JudgeQueue::Impl {
  struct Job {
    Ticket ticket = 0;
    Request request;
    std::promise<Result> promise;
  };

  Impl(JudgePtr judge_, JudgeQueueOptions options_)
      : judge(std::move(judge_)), options(options_), worker([this] { work(); }) {}

  void work() {
    for (;;) {
      std::vector<Job> batch;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return closed || !jobs.empty(); });
        if (jobs.empty()) return;
        while (!jobs.empty() && batch.size() < options.max_batch) {
          batch.push_back(std::move(jobs.front()));
          jobs.pop_front();
        }
      }
      changed.notify_all();  // there is room again
      judge_batch(batch);
    }
  }

  void judge_batch(std::vector<Job>& batch) {
    std::vector<Result> results;
    std::exception_ptr thrown;
    try {
      // The videos are let go before anyone is told, so a caller may delete what it handed in.
      std::vector<Request> requests;
      for (Job& job : batch) requests.push_back(std::move(job.request));
      results = judge->judge(requests, stop.get_token());
      if (results.size() != batch.size()) {
        fail("judge_broken", "judge", "{} must give one result per request but gave {} for {}: "
             "report it to the judge's author", judge->info().name, results.size(), batch.size());
      }
    } catch (...) {
      thrown = std::current_exception();
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (thrown) {
        batch[i].promise.set_exception(thrown);
      } else {
        batch[i].promise.set_value(std::move(results[i]));
      }
    }
  }

  /// Empties the queue and fulfils what was in it, outside the lock: a waiter may call back.
  void cancel_waiting() {
    std::deque<Job> waiting;
    {
      const std::scoped_lock lock(mutex);
      closed = true;
      waiting.swap(jobs);
    }
    changed.notify_all();
    for (Job& job : waiting) {
      job.request = {};
      job.promise.set_value(cancelled());
    }
  }

  const JudgePtr judge;
  const JudgeQueueOptions options;
  std::stop_source stop;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  bool closed = false;
  Ticket next = 1;
  std::thread worker;  // last: it begins when all the others are there
};

JudgeQueue::JudgeQueue(JudgePtr judge, JudgeQueueOptions options) {
  if (!judge) fail_usage("judge", "judge must not be null");
  if (options.max_batch == 0) fail_usage("judge", "max_batch must be at least 1, but got 0");
  impl_ = std::make_unique<Impl>(std::move(judge), options);
}

JudgeQueue::~JudgeQueue() {
  cancel_all();
  impl_->worker.join();
}

JudgeQueue::Submission JudgeQueue::submit(Request request) {
  std::promise<Result> promise;
  std::future<Result> result = promise.get_future();
  Ticket ticket = 0;
  {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait(lock, [&] {
      return impl_->closed || impl_->options.capacity == 0 ||
             impl_->jobs.size() < impl_->options.capacity;
    });
    ticket = impl_->next++;
    if (!impl_->closed) {
      impl_->jobs.push_back({ticket, std::move(request), std::move(promise)});
      lock.unlock();
      impl_->changed.notify_all();
      return {ticket, std::move(result)};
    }
  }
  promise.set_value(cancelled());
  return {ticket, std::move(result)};
}

bool JudgeQueue::cancel(Ticket ticket) {
  Impl::Job job;  // leaves the lock before its video is let go: that may call back
  {
    const std::scoped_lock lock(impl_->mutex);
    const auto found = std::find_if(impl_->jobs.begin(), impl_->jobs.end(),
                                    [&](const Impl::Job& each) { return each.ticket == ticket; });
    if (found == impl_->jobs.end()) return false;
    job = std::move(*found);
    impl_->jobs.erase(found);
  }
  impl_->changed.notify_all();
  job.request = {};
  job.promise.set_value(cancelled());
  return true;
}

void JudgeQueue::cancel_all() {
  impl_->cancel_waiting();
  impl_->stop.request_stop();
}

std::size_t JudgeQueue::waiting() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->jobs.size();
}

}  // namespace bestreel
