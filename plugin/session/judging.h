// Private to the session: judges in threads of their own, and their results in the journal.
//
// Note [Nobody waits under the lock]. The session's lock guards the journal and all that is here;
// whoever waits (for room in a judge's queue, for a result) gives it up meanwhile. So what was true
// before a call that takes a Lock may not be true after it.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "plugin/judge_queue.h"
#include "plugin/session/journal.h"
#include "plugin/trace.h"

namespace bestreel::session {

using Lock = std::unique_lock<std::mutex>;

struct JudgingOptions {
  std::size_t capacity = 2;  ///< waiting videos per judge before submit() blocks
  Trace* trace = nullptr;    ///< outlives the Judging
  std::function<void(const EventKey&)> judged = {};  ///< after each result of a finished video
};

/// A video for one reader: a file is opened again, since a Video is read by one thread at a time;
/// frames in memory are shared.
VideoPtr own_handle(const VideoPtr& video);

/// A file that is judged where it lies; a Failure where it cannot be opened, or is another than the
/// one that arrived.
DecodedFrames open_file(const FileReference& file);

/// stop() may come from any thread; for the others the session's lock is held.
class Judging {
 public:
  Judging(const std::vector<JudgePtr>& judges, const JudgingOptions& options);
  ~Judging();

  /// Has `keys[i].judge` judge `requests[i]`, unless that is recorded or on its way. Of a groupwise
  /// judge all are one group, in this order; of others each is alone. Records a Failure where a
  /// request has no video.
  void submit(Lock& lock, Journal& journal, std::vector<EventKey> keys,
              std::vector<Request> requests);

  /// Records what has come in. Throws what a judge throws about itself.
  void collect(Lock& lock, Journal& journal);

  /// The result, waited for and recorded; nullopt after stop() if it was not judged.
  std::optional<Result> wait(Lock& lock, Journal& journal, const EventKey& key);

  /// wait() for all that is on its way for this candidate.
  void wait_for_candidate(Lock& lock, Journal& journal, const std::string& candidate);

  void stop();

  double waited_seconds() const { return waited_; }

 private:
  class Groups;
  /// Asked for together: one request, or a group.
  struct Job {
    std::vector<EventKey> keys;
    std::vector<Request> requests;                    ///< for a second attempt
    std::shared_future<std::vector<Result>> results;  ///< not valid before it is submitted
    std::shared_future<Result> result;
    bool again = false;  ///< it is the second attempt
    bool ready() const;
    void wait() const;
  };
  using JobPtr = std::shared_ptr<Job>;

  void send(Lock& lock, const JobPtr& job);
  void keep(Lock& lock, Journal& journal, const JobPtr& job);
  void keep_others(Lock& lock, Journal& journal);
  bool pending(const JobPtr& job) const;

  std::vector<JudgePtr> judges_;
  const std::function<void(const EventKey&)> judged_;
  std::vector<std::unique_ptr<JudgeQueue>> queues_;  ///< null: groupwise
  std::vector<std::unique_ptr<Groups>> groups_;      ///< null: pointwise
  std::map<EventKey, JobPtr> pending_;
  std::condition_variable sent_;
  double waited_ = 0;
};

}  // namespace bestreel::session
