// Private to the session: a judge whose work is shown on the trace.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/fail.h"
#include "plugin/judge.h"
#include "plugin/trace.h"

namespace bestreel::session {

/// Shows a judge's work on the trace.
class TracedJudge final : public Judge {
 public:
  TracedJudge(JudgePtr judge, std::string track, Trace& trace)
      : judge_(std::move(judge)), track_(std::move(track)), trace_(trace) {}
  const JudgeInfo& info() const override { return judge_->info(); }
  std::vector<Result> judge(std::span<const Request> requests, std::stop_token stop) override {
    const Trace::Clock::time_point begin = Trace::Clock::now();
    std::vector<Result> results = judge_->judge(requests, std::move(stop));
    trace_.span(track_, "judge", begin, Trace::Clock::now());
    return results;
  }
  std::vector<Result> judge_group(std::span<const Request> group, std::stop_token stop) override {
    const Trace::Clock::time_point begin = Trace::Clock::now();
    std::vector<Result> results = judge_->judge_group(group, std::move(stop));
    trace_.span(track_, "judge group", begin, Trace::Clock::now());
    return results;
  }
  void judge_stream(RequestSource& source) override {
    TracedSource traced(*this, source);
    judge_->judge_stream(traced);
  }

 private:
  /// Each request from when it is taken to its result; those that overlap on tracks of their own.
  class TracedSource final : public RequestSource {
   public:
    TracedSource(TracedJudge& judge, RequestSource& source) : judge_(judge), source_(source) {}
    std::optional<Item> next(bool wait) override {
      std::optional<Item> item = source_.next(wait);
      if (item) {
        auto found = std::find(rows_.begin(), rows_.end(), std::nullopt);
        if (found == rows_.end()) found = rows_.emplace(found);
        *found = {item->ticket, Trace::Clock::now()};
      }
      return item;
    }
    void done(std::uint64_t ticket, Result result) override {
      const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const auto& each) {
        return each && each->first == ticket;
      });
      if (found != rows_.end()) {
        const auto row = found - rows_.begin();
        judge_.trace_.span(
            row == 0 ? judge_.track_ : fmt::format("{} row {}", judge_.track_, row + 1), "judge",
            (*found)->second, Trace::Clock::now());
        found->reset();
      }
      source_.done(ticket, std::move(result));
    }

   private:
    TracedJudge& judge_;
    RequestSource& source_;
    std::vector<std::optional<std::pair<std::uint64_t, Trace::Clock::time_point>>> rows_;
  };

  const JudgePtr judge_;
  const std::string track_;
  Trace& trace_;
};

}  // namespace bestreel::session
