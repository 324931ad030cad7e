#include "plugin/session/judging.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <stop_token>
#include <thread>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "plugin/session/traced_judge.h"

namespace bestreel::session {
namespace {

using Clock = std::chrono::steady_clock;

/// Gives the lock up, and adds the time on the wall to `seconds`.
class Unlocked {
 public:
  Unlocked(Lock& lock, double& seconds) : lock_(lock), seconds_(seconds) { lock_.unlock(); }
  ~Unlocked() {
    const double waited = std::chrono::duration<double>(Clock::now() - begin_).count();
    lock_.lock();
    seconds_ += waited;
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  Lock& lock_;
  double& seconds_;
  const Clock::time_point begin_ = Clock::now();
};

bool is_cancelled(const std::vector<Result>& results) {
  return std::any_of(results.begin(), results.end(), [](const Result& result) {
    const auto* failure = std::get_if<Failure>(&result);
    return failure != nullptr && failure->code == "cancelled";
  });
}

/// What the machine could not do for one of them; null: nothing.
const Failure* machine_failure(const std::vector<Result>& results) {
  for (const Result& result : results) {
    const auto* failure = std::get_if<Failure>(&result);
    if (failure != nullptr && is_machine_failure(failure->code)) return failure;
  }
  return nullptr;
}

/// Fewer than two are no comparison: then nobody has a result.
void settle_group(std::vector<Result>& results, const std::string& judge) {
  const auto judged = std::count_if(results.begin(), results.end(),
                                    [](const Result& result) { return !failed(result); });
  if (judged >= 2) return;
  for (Result& result : results) {
    if (failed(result)) continue;
    result = Failure{"group_too_small",
                     fmt::format("[judge] {} must compare two candidates or more, but could judge "
                                 "{} of {}: see why the others failed",
                                 judge, judged, results.size())};
  }
}

}  // namespace

VideoPtr own_handle(const VideoPtr& video) {
  return video == nullptr || video->path().empty() ? video : open_video(video->path());
}

DecodedFrames open_file(const FileReference& file) {
  try {
    if (!file.sha256.empty() && sha256_file(file.path) != file.sha256) {
      fail("video_changed", "rank",
           "{} has changed since the run took it in: start a new run with another --out",
           file.path);
    }
    return open_video(file.path);
  } catch (const Error& error) {
    return Failure{error.code(), error.what()};
  }
}

// ---- Groups
// --------------------------------------------------------------------------------------

/// One thread that feeds one groupwise judge, group by group.
class Judging::Groups {
 public:
  explicit Groups(JudgePtr judge) : judge_(std::move(judge)), thread_([this] { work(); }) {}
  ~Groups() {
    stop();
    thread_.join();
  }

  std::shared_future<std::vector<Result>> submit(std::vector<Request> group) {
    std::promise<std::vector<Result>> promise;
    std::shared_future<std::vector<Result>> future = promise.get_future().share();
    {
      const std::scoped_lock lock(mutex_);
      if (!stop_.stop_requested()) {
        waiting_.emplace_back(std::move(group), std::move(promise));
        changed_.notify_all();
        return future;
      }
    }
    promise.set_value(std::vector<Result>(group.size(), cancelled()));
    return future;
  }

  void stop() {
    const std::scoped_lock lock(mutex_);
    stop_.request_stop();
    changed_.notify_all();
  }

 private:
  static Failure cancelled() { return {"cancelled", "[judge] cancelled before it was judged"}; }

  void work() {
    for (;;) {
      std::vector<Request> group;
      std::promise<std::vector<Result>> promise;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_.stop_requested() || !waiting_.empty(); });
        if (waiting_.empty()) return;
        std::tie(group, promise) = std::move(waiting_.front());
        waiting_.pop_front();
      }
      try {
        promise.set_value(stop_.stop_requested() ? std::vector<Result>(group.size(), cancelled())
                                                 : judge(group));
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    }
  }

  /// Those without a video have failed before; the others are the group.
  std::vector<Result> judge(const std::vector<Request>& group) {
    std::vector<Result> results(group.size(), Failure{"video_missing",
                                                      "[judge] the candidate has no video: see why "
                                                      "it failed"});
    std::vector<Request> there;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (!group[i].video) continue;
      there.push_back(group[i]);
      places.push_back(i);
    }
    if (there.size() >= 2) {
      std::vector<Result> said = judge_->judge_group(there, stop_.get_token());
      if (said.size() != there.size()) {
        fail("judge_broken", "judge",
             "{} must give one result per candidate but gave {} for {}: report it to the judge's "
             "author",
             judge_->info().name, said.size(), there.size());
      }
      for (std::size_t i = 0; i < said.size(); ++i) results[places[i]] = std::move(said[i]);
    } else if (there.size() == 1) {
      results[places[0]] = Judgement{};  // for settle_group()
    }
    if (!is_cancelled(results)) settle_group(results, judge_->info().name);
    return results;
  }

  const JudgePtr judge_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<std::vector<Request>, std::promise<std::vector<Result>>>> waiting_;
  std::stop_source stop_;
  std::thread thread_;
};

// ---- Judging
// -------------------------------------------------------------------------------------

bool Judging::Job::ready() const {
  constexpr std::chrono::seconds kNow(0);
  if (results.valid()) return results.wait_for(kNow) == std::future_status::ready;
  return result.valid() && result.wait_for(kNow) == std::future_status::ready;
}

void Judging::Job::wait() const {
  if (results.valid()) return results.wait();
  result.wait();
}

Judging::Judging(const std::vector<JudgePtr>& judges, const JudgingOptions& options)
    : judges_(judges), judged_(options.judged) {
  for (JudgePtr& judge : judges_) {
    const std::string track = fmt::format("judge {}", queues_.size() + 1);
    if (options.trace) judge = std::make_shared<TracedJudge>(judge, track, *options.trace);
    const bool groupwise = judge->info().groupwise;
    groups_.push_back(groupwise ? std::make_unique<Groups>(judge) : nullptr);
    queues_.push_back(groupwise ? nullptr
                                : std::make_unique<JudgeQueue>(
                                      judge, JudgeQueueOptions{.capacity = options.capacity}));
  }
}

Judging::~Judging() = default;

bool Judging::pending(const JobPtr& job) const {
  const auto found = pending_.find(job->keys.front());
  return found != pending_.end() && found->second == job;
}

void Judging::submit(Lock& lock, Journal& journal, std::vector<EventKey> keys,
                     std::vector<Request> requests) {
  const bool known = std::all_of(keys.begin(), keys.end(), [&](const EventKey& key) {
    return journal.has(key) || pending_.contains(key);
  });
  if (known) return;
  const auto job = std::make_shared<Job>();
  job->keys = std::move(keys);
  job->requests = std::move(requests);
  for (const EventKey& key : job->keys) pending_[key] = job;
  send(lock, job);
}

/// Blocks while the judge's queue is full.
void Judging::send(Lock& lock, const JobPtr& job) {
  const std::size_t judge = job->keys.front().judge;
  std::shared_future<std::vector<Result>> results;
  std::shared_future<Result> result;
  {
    const Unlocked waiting(lock, waited_);
    std::vector<Request> requests = job->requests;
    std::vector<Result> failures;
    for (Request& request : requests) {
      try {
        request.video = own_handle(request.video);
      } catch (const Error& error) {
        request.video = nullptr;
        failures.emplace_back(Failure{error.code(), error.what()});
      }
    }
    if (groups_[judge]) {
      results = groups_[judge]->submit(std::move(requests));
    } else if (!failures.empty()) {
      std::promise<Result> promise;
      promise.set_value(failures.front());
      result = promise.get_future().share();
    } else {
      result = queues_[judge]->submit(std::move(requests.front())).result.share();
    }
  }
  job->results = std::move(results);
  job->result = std::move(result);
  sent_.notify_all();
}

/// Records the results of a job that is ready. Where the machine gave out it is judged once more.
void Judging::keep(Lock& lock, Journal& journal, const JobPtr& job) {
  for (const EventKey& key : job->keys) pending_.erase(key);
  std::vector<Result> results;
  const auto once_more = [&](const std::string& code) {
    if (job->again || !is_machine_failure(code)) return false;
    job->again = true;
    job->result = {};
    job->results = {};
    for (const EventKey& key : job->keys) pending_[key] = job;
    send(lock, job);
    return true;
  };
  try {
    if (job->results.valid()) {
      results = job->results.get();
    } else {
      results = {job->result.get()};
    }
    if (const Failure* failure = machine_failure(results)) {
      const Failure what = *failure;
      if (once_more(what.code)) return;
      throw Error(what.code, "judge", what.sentence);
    }
  } catch (const Error& error) {
    const std::string code = error.code();
    if (once_more(code)) return;
    keep_others(lock, journal);
    throw;
  } catch (...) {
    keep_others(lock, journal);
    throw;
  }
  if (is_cancelled(results)) return;  // it did not happen
  std::vector<RunEvent> events;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const EventKey& key = job->keys[i];
    RunEvent event{key.wave, key.step, key.candidate, {}, 0};
    if (key.kind == kind_of<events::PreviewJudged>()) {
      event.body = events::PreviewJudged{key.judge, std::move(results[i])};
    } else {
      event.body = events::Judged{key.judge, key.index, std::move(results[i])};
    }
    events.push_back(std::move(event));
  }
  journal.record(events);
  for (const EventKey& key : job->keys) {
    if (judged_ && key.kind == kind_of<events::Judged>()) judged_(key);
  }
}

/// A judge has failed at itself and the run ends: what was judged meanwhile is kept first.
void Judging::keep_others(Lock& lock, Journal& journal) {
  stop();
  while (!pending_.empty()) {
    const JobPtr job = pending_.begin()->second;
    job->again = true;
    try {
      wait(lock, journal, job->keys.front());
    } catch (const std::exception&) {
      // The first failure is the one that is told.
    }
  }
}

void Judging::collect(Lock& lock, Journal& journal) {
  for (;;) {
    const auto ready = std::find_if(pending_.begin(), pending_.end(),
                                    [](const auto& each) { return each.second->ready(); });
    if (ready == pending_.end()) return;
    keep(lock, journal, JobPtr(ready->second));
  }
}

std::optional<Result> Judging::wait(Lock& lock, Journal& journal, const EventKey& key) {
  for (auto found = pending_.find(key); found != pending_.end(); found = pending_.find(key)) {
    const JobPtr job = found->second;
    sent_.wait(lock, [&] { return job->results.valid() || job->result.valid() || !pending(job); });
    if (!pending(job)) continue;
    if (!job->ready()) {
      // Its futures are replaced under the lock alone, and only once they are ready.
      const Job copy{{}, {}, job->results, job->result, false};
      const Unlocked waiting(lock, waited_);
      copy.wait();
    }
    if (pending(job) && job->ready()) keep(lock, journal, job);
  }
  return recorded_result(journal, key);
}

void Judging::wait_for_candidate(Lock& lock, Journal& journal, const std::string& candidate) {
  std::vector<EventKey> keys;
  for (const auto& [key, job] : pending_) {
    if (key.candidate == candidate) keys.push_back(key);
  }
  for (const EventKey& key : keys) wait(lock, journal, key);
}

void Judging::stop() {
  for (const auto& queue : queues_) {
    if (queue) queue->cancel_all();
  }
  for (const auto& group : groups_) {
    if (group) group->stop();
  }
}

}  // namespace bestreel::session
