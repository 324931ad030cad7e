#include "core/base/error.h"

#include <cerrno>
#include <utility>

#include "core/base/errno_code.h"

namespace bestreel {

Error::Error(std::string code, std::string op, std::string sentence)
    : std::runtime_error("[" + op + "] " + sentence),
      code_(std::move(code)),
      op_(std::move(op)),
      sentence_(std::move(sentence)) {}

UsageError::UsageError(std::string op, std::string sentence)
    : Error("usage", std::move(op), std::move(sentence)) {}

Cancelled::Cancelled(std::string op)
    : Error("cancelled", std::move(op), "stopped on request; what was finished is kept") {}

std::string errno_code(int error, std::string otherwise) {
  switch (error) {
    case EMFILE:
    case ENFILE:
      return "too_many_files";
    case ENOMEM:
      return "out_of_memory";
    case ENOSPC:
    case EDQUOT:
      return "disk_full";
    case EIO:
    case ESTALE:
      return "io_failed";
    case EACCES:
    case EPERM:
      return "no_permission";
    default:
      return otherwise;
  }
}

const char* errno_remedy(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
      return "raise `ulimit -n` and run the same command again";
    case ENOMEM:
      return "close other programs and run the same command again";
    case EIO:
    case ESTALE:
      return "check the disk or the network and run the same command again";
    default:
      return "check its permissions";
  }
}

bool is_machine_failure(std::string_view code) {
  for (const char* each :
       {"out_of_memory", "disk_full", "write_failed", "store_failed", "store_locked",
        "too_many_files", "thread_failed", "io_failed", "no_permission"}) {
    if (code == each) return true;
  }
  return false;
}

}  // namespace bestreel
