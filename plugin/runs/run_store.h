// One run, one directory, one SQLite file, one event table of which everything else is a projection.
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
  std::string kind;       ///< "run", "candidate", "judged", "selected", ...: see run_view.h
  std::string body;       ///< a JSON object
  double at = 0;          ///< seconds since the epoch; given by the store; never exported
};

/// DIR/run.sqlite (WAL, synchronous=FULL) and DIR/run.lock. An append is durable when it returns.
/// A second process on the same directory is refused by the lock, which the system releases when
/// the holder dies. Not thread-safe: one owner.
///
/// Errors: "run_exists" (create on a directory that holds a run), "run_missing" (open without one),
/// "run_locked", "run_foreign" (a run.sqlite that is not ours or of another schema), "disk_full",
/// "store_failed".
class BESTREEL_API RunStore {
 public:
  /// Makes the directory where needed; refuses one that already holds a run.
  static RunStore create(const std::string& directory);
  static RunStore open(const std::string& directory);
  /// Without the lock and without writing, for export of a run that is in progress.
  static RunStore open_read_only(const std::string& directory);
  static bool exists(const std::string& directory);

  ~RunStore();
  RunStore(RunStore&&) noexcept;
  RunStore& operator=(RunStore&&) noexcept;

  const std::string& directory() const;
  void append(Event event);
  /// All or none of them.
  void append(const std::vector<Event>& events);
  std::vector<Event> events() const;

 private:
  struct Impl;
  explicit RunStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bestreel
