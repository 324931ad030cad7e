#include "plugin/session/judging.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/fail.h"
#include "plugin/runs/run_view.h"

namespace bestreel::session {
namespace {

using Clock = std::chrono::steady_clock;

/// Adds the time on the wall to `seconds`.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds) {}
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(Clock::now() - begin_).count(); }

 private:
  double& seconds_;
  const Clock::time_point begin_ = Clock::now();
};

/// Shows a judge's work on the trace.
class TracedJudge final : public Judge {
 public:
  TracedJudge(JudgePtr judge, std::string track, Trace& trace)
      : judge_(std::move(judge)), track_(std::move(track)), trace_(trace) {}
  const JudgeInfo& info() const override { return judge_->info(); }
  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    const Clock::time_point begin = Clock::now();
    std::vector<Result> results = judge_->judge(requests, std::move(stop));
    trace_.span(track_, "judge", begin, Clock::now());
    return results;
  }
  void judge_stream(RequestSource& source) override {
    TracedSource traced(*this, source);
    judge_->judge_stream(traced);
  }

 private:
  /// Each request from when it is taken to its result; those that overlap on tracks of their own.
  class TracedSource final : public RequestSource {
   public:
    TracedSource(TracedJudge& judge, RequestSource& source) : judge_(judge), source_(source) {}
    std::optional<Item> next(bool wait) override {
      std::optional<Item> item = source_.next(wait);
      if (item) {
        auto found = std::find(rows_.begin(), rows_.end(), std::nullopt);
        if (found == rows_.end()) found = rows_.emplace(found);
        *found = {item->ticket, Clock::now()};
      }
      return item;
    }
    void done(std::uint64_t ticket, Result result) override {
      const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const auto& each) {
        return each && each->first == ticket;
      });
      if (found != rows_.end()) {
        const auto row = found - rows_.begin();
        judge_.trace_.span(
            row == 0 ? judge_.track_ : fmt::format("{} row {}", judge_.track_, row + 1), "judge",
            (*found)->second, Clock::now());
        found->reset();
      }
      source_.done(ticket, std::move(result));
    }

   private:
    TracedJudge& judge_;
    RequestSource& source_;
    std::vector<std::optional<std::pair<std::uint64_t, Clock::time_point>>> rows_;
  };

  const JudgePtr judge_;
  const std::string track_;
  Trace& trace_;
};

}  // namespace

Judging::Judging(const std::vector<JudgePtr>& judges, const JudgingOptions& options)
    : overlap_(options.overlap) {
  for (const JudgePtr& judge : judges) {
    const std::string track = fmt::format("judge {}", queues_.size() + 1);
    queues_.push_back(std::make_unique<JudgeQueue>(
        options.trace ? std::make_shared<TracedJudge>(judge, track, *options.trace) : judge,
        JudgeQueueOptions{.capacity = options.capacity}));
  }
}

void Judging::submit(Journal& journal, const EventKey& key, VideoPtr video,
                     const Condition& condition) {
  if (journal.find(key) != nullptr || pending_.contains(key)) return;
  {
    const Stopwatch waiting(waited_);
    pending_.emplace(key, queues_.at(key.judge)->submit({std::move(video), condition}).result);
  }
  if (!overlap_) wait(journal, key);
}

void Judging::keep(Journal& journal, const EventKey& key, std::future<Result>& future) {
  const Result result = [&] {
    try {
      return future.get();
    } catch (...) {
      keep_others(journal);
      throw;
    }
  }();
  const auto* failure = std::get_if<Failure>(&result);
  if (failure != nullptr && failure->code == "cancelled") return;  // it did not happen
  Event event = judged_event(key.candidate, key.judge, result);
  event.kind = key.kind;
  event.wave = key.wave;
  event.step = key.step;
  journal.record({std::move(event)});
}

/// A judge has failed at itself and the run ends: what was judged meanwhile is kept first.
void Judging::keep_others(Journal& journal) {
  stop();
  std::map<EventKey, std::future<Result>> others = std::exchange(pending_, {});
  for (auto& [key, future] : others) {
    try {
      keep(journal, key, future);
    } catch (const std::exception&) {
      // The first failure is the one that is told.
    }
  }
}

void Judging::collect(Journal& journal) {
  for (auto each = pending_.begin(); each != pending_.end();) {
    if (each->second.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      ++each;
      continue;
    }
    auto node = pending_.extract(each++);
    keep(journal, node.key(), node.mapped());
  }
}

std::optional<Result> Judging::wait(Journal& journal, const EventKey& key) {
  if (auto node = pending_.extract(key)) {
    {
      const Stopwatch waiting(waited_);
      node.mapped().wait();
    }
    keep(journal, key, node.mapped());
  }
  return recorded_result(journal, key);
}

void Judging::wait_for_candidate(Journal& journal, const std::string& candidate) {
  std::vector<EventKey> keys;
  for (const auto& [key, result] : pending_) {
    if (key.candidate == candidate) keys.push_back(key);
  }
  for (const EventKey& key : keys) wait(journal, key);
}

void Judging::stop() {
  for (const auto& queue : queues_) queue->cancel_all();
}

}  // namespace bestreel::session
