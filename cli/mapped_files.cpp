#include "cli/mapped_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>

namespace bestreel::cli {
namespace {

// Everything from here to the end runs in a signal handler: no memory, no stdio, no locks.

void say(const char* text, std::size_t size) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, size);
}

template <std::size_t N>
void say(const char (&text)[N]) {
  say(text, N - 1);
}

std::uintptr_t hexadecimal(const char*& text) {
  std::uintptr_t value = 0;
  for (;; ++text) {
    const char c = *text;
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<std::uintptr_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + static_cast<std::uintptr_t>(c - 'a' + 10);
    } else {
      return value;
    }
  }
}

/// The path in a line of /proc/self/maps, where its range holds `address`; null where it does not.
const char* path_of(const char* line, std::uintptr_t address) {
  const std::uintptr_t begin = hexadecimal(line);
  if (*line++ != '-') return nullptr;
  const std::uintptr_t end = hexadecimal(line);
  if (address < begin || address >= end) return nullptr;
  while (*line != '\0' && *line != '/') ++line;
  return *line == '/' ? line : nullptr;
}

/// Says the path of the mapping at `address`; false where no file is mapped there.
bool say_path(std::uintptr_t address) {
  static char line[8192];
  static char block[4096];
  const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return false;
  std::size_t length = 0;
  for (ssize_t count = 0; (count = ::read(maps, block, sizeof block)) > 0;) {
    for (ssize_t i = 0; i < count; ++i) {
      if (block[i] != '\n') {
        if (length + 1 < sizeof line) line[length++] = block[i];
        continue;
      }
      line[length] = '\0';
      length = 0;
      const char* path = path_of(line, address);
      if (path == nullptr) continue;
      for (; *path != '\0'; ++path) {
        const auto byte = static_cast<unsigned char>(*path);
        say(byte < 0x20 || byte == 0x7F ? "?" : path, 1);
      }
      return true;
    }
  }
  return false;
}

extern "C" void on_bus_error(int, siginfo_t* info, void*) {
  say("[bestreel] ");
  if (!say_path(reinterpret_cast<std::uintptr_t>(info->si_addr))) say("a file that is in use");
  say(" became shorter, or its disk cannot be read, while it was in use: download it again, or put "
      "it back, and run the same command again\n");
  ::_exit(1);
}

}  // namespace

void name_lost_mappings() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_RESETHAND;
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace bestreel::cli
