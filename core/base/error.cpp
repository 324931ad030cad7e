#include "core/base/error.h"

#include <utility>

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

}  // namespace bestreel
