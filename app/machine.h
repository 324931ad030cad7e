// What this build is and what this machine offers.
#pragma once

#include <cstdint>
#include <string>

namespace bestreel::app {

/// Several lines: build, instruction set, library versions.
std::string version_text();

/// The same facts on one line, as stored with a run; a resume refuses another.
std::string version_line();

/// Cores that this process may use (affinity), bytes of memory (the smaller of the machine's and
/// the container's limit), bytes free on the file system of `folder`.
int usable_cores();
std::uint64_t usable_memory();
std::uint64_t free_disk(const std::string& folder);

}  // namespace bestreel::app
