// A time line of both sides, engine and judge, for ui.perfetto.dev and chrome://tracing.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/base/export.h"

namespace bestreel {

/// Writes the Trace Event Format's JSON array, one complete event ("ph": "X") per line as it
/// happens. Viewers accept an array without its closing bracket, so the trace of a killed run opens
/// as well. Every method may be called from any thread. It is a measurement, not part of the run:
/// what cannot be written is reported once, by close().
class BESTREEL_API Trace {
 public:
  using Clock = std::chrono::steady_clock;

  /// Errors: "write_failed".
  explicit Trace(const std::string& path);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  /// What `name` did on `track` ("engine", "judge 1", ...): from `begin` to `end`.
  void span(const std::string& track, const std::string& name, Clock::time_point begin,
            Clock::time_point end);

  /// Ends the file; later spans are dropped. Errors: "disk_full".
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bestreel
