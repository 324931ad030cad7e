// Ranks video files: takes them in, has every judge judge them, keeps everything in the run's
// store.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/judge.h"
#include "plugin/runs/report.h"
#include "plugin/runs/run_store.h"
#include "plugin/runs/run_view.h"

namespace bestreel {

/// Called between judgements, on the thread that called judge_pending().
using RankingProgress =
    std::function<void(std::size_t done, std::size_t total, const std::string& candidate)>;

/// One owner, one thread; each judge works in a JudgeQueue of its own. What is decided is appended
/// to the store before anything is built on it, in the order (candidate, judge), whatever order the
/// judges finish in: killed at any instant, the same calls on the same directory end the same.
class BESTREEL_API Ranking {
 public:
  /// A new run over `files`; settings and files become durable together. Errors: those of
  /// RunStore::create, and UsageError without files.
  static Ranking start(const std::string& directory, const RunSettings& settings,
                       const std::vector<std::string>& files, std::vector<JudgePtr> judges);

  /// Goes on with a run. Throws Error "run_mismatch" where `settings` (as this process would make
  /// them) differs in prompt, judges, combination, threads or versions, naming what differs.
  static Ranking resume(const std::string& directory, const RunSettings& settings,
                        std::vector<JudgePtr> judges);

  const RunView& view() const { return view_; }

  /// Files that are missing, or other ones, since the run took them in: found by resume().
  const std::vector<std::string>& changed() const { return changed_; }

  /// Judgements of the last judge_pending() that the machine failed at (no descriptors, no memory,
  /// a disk, permissions), candidate and sentence: they are not recorded, and due again next time.
  struct PutOff {
    std::string candidate, sentence;
  };
  const std::vector<PutOff>& put_off() const { return put_off_; }

  /// Adds files that came later, or were written again; a file that is known and unchanged is left
  /// alone. Returns how many were taken in.
  std::size_t take_in(const std::vector<std::string>& files);

  /// Judges what no judge has judged; in a cascade (RunSettings::keep) judge by judge, each only
  /// whom the one before hands on: that is decided when all before are judged. A video that cannot
  /// be opened or judged gets its Failure, the others go on. False when `stop` was requested first:
  /// then what was judged is kept. Throws what a judge throws about itself.
  bool judge_pending(std::stop_token stop, const RankingProgress& progress);

  /// Writes best.<ext> (the winner's file, byte for byte) and report.html, and records the winner.
  /// Without a winner an older best.<ext> is removed.
  const RunView& finish(const ReportOptions& report);

 private:
  Ranking(RunStore store, std::vector<JudgePtr> judges);
  struct Job;
  void append(const std::vector<Event>& events);
  std::vector<Job> pending(std::size_t first_judge, std::size_t last_judge) const;
  bool run_jobs(const std::vector<Job>& jobs, std::stop_token stop,
                const std::function<void(const std::string&)>& begun);

  RunStore store_;
  std::vector<JudgePtr> judges_;
  std::vector<Event> events_;
  RunView view_;
  std::vector<std::string> changed_;
  std::vector<PutOff> put_off_;
};

/// The files of a ranking: each folder gives its video files (by extension, not hidden, sorted, not
/// below), each file itself. Absolute, in the order given, without repetition. UsageError when a
/// path does not exist.
BESTREEL_API std::vector<std::string> expand_videos(std::span<const std::string> paths);

/// For each path the shortest tail that tells it from all the others: "b.mp4", or "run1/b.mp4".
BESTREEL_API std::vector<std::string> shortest_tails(std::span<const std::string> paths);

}  // namespace bestreel
