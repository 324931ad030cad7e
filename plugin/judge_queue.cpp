#include "plugin/judge_queue.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
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

struct JudgeQueue::Impl final : RequestSource {
  struct Job {
    Ticket ticket = 0;
    Request request;
    std::promise<Result> promise;
  };
  /// What the judge has taken and not answered yet.
  struct Running {
    std::promise<Result> promise;
    std::stop_source stop;
  };

  Impl(JudgePtr judge_, JudgeQueueOptions options_)
      : judge(std::move(judge_)), options(options_), worker([this] { work(); }) {}

  void work() {
    while (wait_for_jobs()) {
      std::exception_ptr thrown;
      try {
        judge->judge_stream(*this);
      } catch (...) {
        thrown = std::current_exception();
      }
      settle(thrown);
    }
  }

  bool wait_for_jobs() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return closed || !jobs.empty(); });
    return !jobs.empty();
  }

  // ---- RequestSource: the worker's thread
  // -------------------------------------------------------- The videos go with the items, so a
  // caller may delete what it handed in once it is told.
  std::optional<Item> next(bool wait) override {
    std::optional<Item> item;
    {
      std::unique_lock lock(mutex);
      if (wait) changed.wait(lock, [&] { return closed || !jobs.empty(); });
      if (jobs.empty()) return std::nullopt;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      ++taken;
      Running& started = running[job.ticket];
      started.promise = std::move(job.promise);
      item = Item{job.ticket, std::move(job.request), started.stop.get_token()};
    }
    changed.notify_all();  // there is room again
    return item;
  }

  void done(Ticket ticket, Result result) override {
    std::promise<Result> promise;
    {
      const std::scoped_lock lock(mutex);
      auto node = running.extract(ticket);
      if (!node) {
        fail("judge_broken", "judge",
             "{} gave a result for a request that it does not have: report it "
             "to the judge's author",
             judge->info().name);
      }
      promise = std::move(node.mapped().promise);
    }
    promise.set_value(std::move(result));
  }

  /// The judge has returned: what it has not answered gets what it threw; where it took nothing, so
  /// does the first that waits, or they would wait for ever.
  void settle(std::exception_ptr thrown) {
    std::map<Ticket, Running> lost;
    Request untaken;
    {
      const std::scoped_lock lock(mutex);
      lost.swap(running);
      if (taken == 0 && !jobs.empty()) {
        lost[jobs.front().ticket].promise = std::move(jobs.front().promise);
        untaken = std::move(jobs.front().request);
        jobs.pop_front();
      }
      taken = 0;
    }
    untaken = {};
    changed.notify_all();
    if (!lost.empty() && !thrown) {
      thrown = std::make_exception_ptr(Error("judge_broken", "judge",
                                             judge->info().name +
                                                 " must give a result for every request "
                                                 "but lost one: report it to the judge's author"));
    }
    for (auto& [ticket, request] : lost) request.promise.set_exception(thrown);
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

  /// Asks the judge to stop one request, or all. Outside the lock: it may call back.
  void stop_running(std::optional<Ticket> which) {
    std::vector<std::stop_source> stops;
    {
      const std::scoped_lock lock(mutex);
      for (const auto& each : running) {
        if (!which || each.first == *which) stops.push_back(each.second.stop);
      }
    }
    for (std::stop_source& each : stops) each.request_stop();
  }

  const JudgePtr judge;
  const JudgeQueueOptions options;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  std::map<Ticket, Running> running;
  std::uint64_t taken = 0;  // by the present call of judge_stream
  bool closed = false;
  Ticket next_ticket = 1;
  std::thread worker;  // last: it begins when all the others are there
};

JudgeQueue::JudgeQueue(JudgePtr judge, JudgeQueueOptions options) {
  if (!judge) fail_usage("judge", "judge must not be null");
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
    ticket = impl_->next_ticket++;
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
    if (found != impl_->jobs.end()) {
      job = std::move(*found);
      impl_->jobs.erase(found);
    }
  }
  if (job.ticket == 0) {
    impl_->stop_running(ticket);
    return false;
  }
  impl_->changed.notify_all();
  job.request = {};
  job.promise.set_value(cancelled());
  return true;
}

void JudgeQueue::cancel_all() {
  impl_->cancel_waiting();
  impl_->stop_running(std::nullopt);
}

std::size_t JudgeQueue::waiting() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->jobs.size();
}

}  // namespace bestreel
