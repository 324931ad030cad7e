// Private to the libraries: what the system's error numbers are called.
#pragma once

#include <string>
#include <string_view>

#include "core/base/export.h"

namespace bestreel {

/// The code of a failure that the system has reported by `error`: what the machine lacks has a code
/// of its own, whatever was being done ("too_many_files", "out_of_memory", "disk_full",
/// "io_failed", "no_permission"); the rest is `otherwise`.
BESTREEL_API std::string errno_code(int error, std::string otherwise);

/// What to do about it, the last part of a sentence.
BESTREEL_API const char* errno_remedy(int error);

/// Whether a code says that the machine gave out and not that something is wrong with a video or a
/// candidate: then it is tried again, and never recorded. They are "out_of_memory", "disk_full",
/// "write_failed", "store_failed", "store_locked", "too_many_files", "thread_failed", "io_failed"
/// and "no_permission".
BESTREEL_API bool is_machine_failure(std::string_view code);

}  // namespace bestreel
