// Private to the session: judges in threads of their own, and their results in the journal.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "plugin/judge_queue.h"
#include "plugin/session/journal.h"
#include "plugin/trace.h"

namespace bestreel::session {

struct JudgingOptions {
  std::size_t capacity = 2;  ///< waiting videos per judge before submit() blocks
  bool overlap = true;       ///< false: submit() waits for the result
  Trace* trace = nullptr;    ///< outlives the Judging
};

/// Not thread-safe: the session's lock guards it. stop() alone may come from any thread.
class Judging {
 public:
  Judging(const std::vector<JudgePtr>& judges, const JudgingOptions& options);

  /// Has `place.judge` judge `video`, unless that is recorded or on its way.
  void submit(Journal& journal, const EventKey& key, VideoPtr video, const Condition& condition);

  /// Records what has come in.
  void collect(Journal& journal);

  /// The result, waited for and recorded; nullopt after stop() if it was not judged. Throws what
  /// the judge throws about itself.
  std::optional<Result> wait(Journal& journal, const EventKey& key);

  /// wait() for all that is on its way for this candidate.
  void wait_for_candidate(Journal& journal, const std::string& candidate);

  void stop();

  double waited_seconds() const { return waited_; }

 private:
  void keep(Journal& journal, const EventKey& key, std::future<Result>& result);
  void keep_others(Journal& journal);

  const bool overlap_;
  std::vector<std::unique_ptr<JudgeQueue>> queues_;
  std::map<EventKey, std::future<Result>> pending_;
  double waited_ = 0;
};

}  // namespace bestreel::session
