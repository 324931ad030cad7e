#include "cli/interrupt.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>

#include "core/base/fail.h"

namespace bestreel::cli {
namespace {

// A handler may only write to a pipe; a thread turns the byte into a stop request, which runs
// callbacks that take locks.
int wake[2] = {-1, -1};
std::atomic<bool> asked{false};

extern "C" void on_signal(int) {
  if (asked.exchange(true)) _exit(130);
  const char byte = 's';
  [[maybe_unused]] const ssize_t written = ::write(wake[1], &byte, 1);
}

}  // namespace

Interrupt::Interrupt() {
  if (::pipe(wake) != 0) fail("system", "bestreel", "no pipe could be made: raise `ulimit -n`");
  asked = false;
  watcher_ = std::thread([this] {
    char byte = 0;
    ssize_t count = 0;
    do {
      count = ::read(wake[0], &byte, 1);
    } while (count < 0 && errno == EINTR);
    if (count == 1 && byte == 's') source_.request_stop();
  });
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

Interrupt::~Interrupt() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  const char byte = 'q';
  [[maybe_unused]] const ssize_t written = ::write(wake[1], &byte, 1);
  watcher_.join();
  ::close(wake[0]);
  ::close(wake[1]);
}

bool Interrupt::wait(double seconds) const {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, source_.get_token(), std::chrono::duration<double>(std::max(0.0, seconds)),
                   [] { return false; });
  return requested();
}

}  // namespace bestreel::cli
