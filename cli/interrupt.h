// Ctrl-C as a stop_token: the first asks the work to end with what is done, the second ends at
// once.
#pragma once

#include <stop_token>
#include <thread>

namespace bestreel::cli {

/// While it lives, SIGINT and SIGTERM request a stop. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  bool requested() const { return source_.stop_requested(); }

  /// Waits at most `seconds`, less when a stop is requested. Returns requested().
  bool wait(double seconds) const;

 private:
  std::stop_source source_;
  std::thread watcher_;
};

}  // namespace bestreel::cli
