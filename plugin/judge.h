// The interface that every reward implements.
#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/condition.h"
#include "plugin/result.h"

namespace bestreel {

struct JudgeInfo {
  std::string id;  ///< name and version or hash: two judges with one id give equal judgements
  std::string name;
  std::vector<std::string> dimensions;  ///< in the order of Judgement::dimensions
  bool reads_prompt = true;             ///< false: Condition is ignored
  bool deterministic = true;            ///< same machine, threads, input: same bits
};

struct Request {
  VideoPtr video;
  Condition condition;
};

/// Thread rules: info() from any thread; judge() from one thread at a time (JudgeQueue sees to it).
class BESTREEL_API Judge {
 public:
  virtual ~Judge() = default;

  virtual const JudgeInfo& info() const = 0;

  /// One Result per request, in order. A result depends on its own request alone, never on the
  /// company it is judged in. What is wrong with one video is its Failure; what is wrong with the
  /// judge itself is thrown. When `stop` is requested, requests not yet judged return
  /// Failure{"cancelled"}.
  virtual std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) = 0;
};

using JudgePtr = std::shared_ptr<Judge>;

/// Runs one request's work and turns its Error into that request's Failure; other exceptions pass.
template <typename Work>
Result result_of(Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error& error) {
    return Failure{error.code(), error.what()};
  }
}

}  // namespace bestreel
