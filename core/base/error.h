// Errors are sentences: `[op] X must be ... but got ...: remedy`.
#pragma once

#include <stdexcept>
#include <string>

#include "core/base/export.h"

namespace bestreel {

/// Something could not be done. `what()` reads `[op] sentence`; the sentence names the file and the
/// remedy. `code` is a stable word for programs ("video_corrupt"); it is what a Failure carries.
/// The command line exits with 1.
class BESTREEL_API Error : public std::runtime_error {
 public:
  Error(std::string code, std::string op, std::string sentence);

  const std::string& code() const noexcept { return code_; }
  const std::string& op() const noexcept { return op_; }
  const std::string& sentence() const noexcept { return sentence_; }

 private:
  std::string code_, op_, sentence_;
};

/// The caller asked for something that cannot be meant. The command line exits with 2.
class BESTREEL_API UsageError : public Error {
 public:
  UsageError(std::string op, std::string sentence);
};

/// The work was stopped on request (Ctrl-C, JudgeQueue cancel); what was done stays.
class BESTREEL_API Cancelled : public Error {
 public:
  explicit Cancelled(std::string op);
};

}  // namespace bestreel
