// The interface that every reward implements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
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
  std::size_t slots = 1;                ///< requests that it judges side by side
  /// It compares the candidates of one prompt and judges none by itself: judge_group(), not
  /// judge().
  bool groupwise = false;
};

struct Request {
  VideoPtr video;
  Condition condition;
};

/// Requests that come while others are being judged. One judge draws from it, in one thread.
class BESTREEL_API RequestSource {
 public:
  struct Item {
    std::uint64_t ticket = 0;
    Request request;
    std::stop_token stop;  ///< of this request alone
  };
  virtual ~RequestSource() = default;

  /// The next request. Where none is there: with `wait` blocks until one comes, and nullopt says
  /// that none will; without, nullopt says that none is there now.
  virtual std::optional<Item> next(bool wait) = 0;

  /// The result of an item, once for each. The judge holds its video no more.
  virtual void done(std::uint64_t ticket, Result result) = 0;
};

/// Pointwise or groupwise (JudgeInfo): it implements judge() or judge_group().
/// Thread rules: info() from any thread; the others from one thread at a time (JudgeQueue and the
/// session see to it).
class BESTREEL_API Judge {
 public:
  virtual ~Judge() = default;

  virtual const JudgeInfo& info() const = 0;

  /// Of a pointwise judge: one Result per request, in order. A result depends on its own request
  /// alone, never on the company it is judged in. What is wrong with one video is its Failure; what
  /// is wrong with the judge itself is thrown. When `stop` is requested, requests not yet judged
  /// return Failure{"cancelled"}.
  virtual std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) {
    (void)requests, (void)stop;
    throw Error("judge_broken", "judge",
                info().name +
                    " must judge single videos but judges none: report it to the judge's "
                    "author, or use a strategy that compares candidates");
  }

  /// Of a groupwise judge (pairwise comparisons, tournaments): the candidates of one prompt, two or
  /// more, together; one Result per request, in the same order. A result depends on this ordered
  /// group and on nothing else. A candidate that it cannot judge gets its Failure.
  virtual std::vector<Result> judge_group(std::span<const Request> group, std::stop_token stop) {
    (void)group, (void)stop;
    throw Error("judge_broken", "judge",
                info().name +
                    " must compare candidates but compares none: report it to the "
                    "judge's author");
  }

  /// The same for requests that come while others are being judged, in any order of results;
  /// returns when `source` has no more. By default judge() for one after the other; a judge that
  /// gains from company takes up to info().slots at once.
  virtual void judge_stream(RequestSource& source) {
    while (std::optional<RequestSource::Item> item = source.next(/*wait=*/true)) {
      std::vector<Result> results = judge({&item->request, 1}, item->stop);
      if (results.size() != 1)
        throw Error("judge_broken", "judge",
                    info().name + " must give one result per request but gave " +
                        std::to_string(results.size()) + " for 1: report it to the judge's author");
      item->request = {};
      source.done(item->ticket, std::move(results.front()));
    }
  }
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
