// One run, one directory, one SQLite file, one event table of which everything else is a
// projection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

/// Events are totally ordered by `seq`; (wave, step, candidate) is where in the run they belong.
struct Event {
  std::int64_t seq = 0;  ///< given by the store
  std::int64_t wave = 0;
  std::int64_t step = 0;
  std::string candidate;  ///< empty for events of the whole run
  std::string kind;       ///< "run", "candidate", "judged", "winner_selected", ...: see run_view.h
  std::string body;       ///< a JSON object
  double at = 0;          ///< seconds since the epoch; given by the store; never exported
};

/// DIR/run.sqlite (WAL, synchronous=FULL) and DIR/run.lock. An append is durable when it returns.
/// A second process on the same directory is refused by the lock, which the system releases when
/// the holder dies. Not thread-safe: one owner.
///
/// Errors: "run_exists" (create on a directory that holds a run), "run_missing" (open without one),
/// "run_empty" (open on a run.sqlite without a table), "run_locked", "run_foreign" (a run.sqlite
/// that is not ours, is damaged, or is of another schema), "disk_full", "write_failed" (the
/// directory or its lock cannot be made), "store_failed".
class BESTREEL_API RunStore {
 public:
  /// Makes the directory where needed; refuses one that already holds a run. Killed at any instant
  /// it leaves a whole file or none.
  static RunStore create(const std::string& directory);
  static RunStore open(const std::string& directory);
  /// Without the lock and without writing: beside the process that holds the run, and where nothing
  /// can be written. Each events() shows the run as it is then.
  static RunStore open_read_only(const std::string& directory);
  /// True where there is a run with an event: create() takes over what was killed before its first.
  static bool exists(const std::string& directory);

  ~RunStore();
  RunStore(RunStore&&) noexcept;
  RunStore& operator=(RunStore&&) noexcept;

  const std::string& directory() const;
  void append(Event event);
  /// All or none of them. UsageError where a body is no JSON object.
  void append(const std::vector<Event>& events);
  std::vector<Event> events() const;

 private:
  struct Impl;
  explicit RunStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bestreel
