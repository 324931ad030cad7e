// A disk that is full when a test says so: write() of this program, libav's included. Include it in
// one source of a test.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace bestreel::testing {
inline std::atomic<bool> disk_is_full{false};
}

extern "C" ssize_t write(int descriptor, const void* bytes, size_t size) {
  if (descriptor > STDERR_FILENO && bestreel::testing::disk_is_full) {
    errno = ENOSPC;
    return -1;
  }
  return ::syscall(SYS_write, descriptor, bytes, size);
}
