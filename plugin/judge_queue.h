// Judging in a thread of its own, while candidates are still being made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>

#include "core/base/export.h"
#include "plugin/judge.h"

namespace bestreel {

struct JudgeQueueOptions {
  std::size_t capacity =
      0;  ///< waiting requests before submit() blocks (back-pressure); 0 = no limit
};

/// Owns one worker thread that feeds one judge in submission order: the judge takes a request when
/// it has room for one, also while it is judging others. Every method may be called from any
/// thread. A future is always fulfilled: with the judge's Result; with Failure{"cancelled"} after
/// cancel(), cancel_all() or destruction; with the judge's own exception if it threw while it held
/// the request (Error "judge_broken" if it lost a result). By then the queue has let go of the
/// request's video.
class BESTREEL_API JudgeQueue {
 public:
  using Ticket = std::uint64_t;
  struct Submission {
    Ticket ticket;
    std::future<Result> result;
  };

  explicit JudgeQueue(JudgePtr judge, JudgeQueueOptions options = {});
  /// cancel_all(), then joins. No call may be in progress: where submitters may be blocked, call
  /// cancel_all() and join them first.
  ~JudgeQueue();
  JudgeQueue(const JudgeQueue&) = delete;
  JudgeQueue& operator=(const JudgeQueue&) = delete;

  /// Blocks while the queue is full. After cancel_all() the result is "cancelled" at once.
  Submission submit(Request request);

  /// True: the request had not begun and its result is now "cancelled". False: it was judged, or is
  /// unknown, or is being judged; then the judge is asked to stop it, which leaves the others as
  /// they are. Its future is fulfilled as usual.
  bool cancel(Ticket ticket);

  /// Cancels what waits, asks the judge to stop what runs, refuses what comes. Does not block.
  void cancel_all();

  /// Requests that no judge has taken yet.
  std::size_t waiting() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bestreel
