#include "plugin/judge_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "fakes.h"

namespace bestreel {
namespace {

using testing::FakeJudge;
using testing::judgement;
using testing::rate_judge;
using testing::tiny_video;

double reward(std::future<Result>& future) { return std::get<Judgement>(future.get()).reward; }
std::string code(std::future<Result>& future) { return std::get<Failure>(future.get()).code; }

/// A judge that stays in its first call until it is released or stopped.
struct Gate {
  std::latch entered{1};
  std::mutex mutex;
  std::condition_variable_any opened;
  bool open = false;

  void release() {
    {
      const std::scoped_lock lock(mutex);
      open = true;
    }
    opened.notify_all();
  }
  JudgePtr judge() {
    return std::make_shared<FakeJudge>([this, first = true](std::span<const Request> requests,
                                                            const std::stop_token& stop) mutable {
      if (std::exchange(first, false)) {
        entered.count_down();
        std::unique_lock lock(mutex);
        opened.wait(lock, stop, [this] { return open; });
      }
      std::vector<Result> results;
      for (const Request& request : requests) {
        if (stop.stop_requested()) {
          results.emplace_back(Failure{"cancelled", "stopped"});
        } else {
          results.emplace_back(judgement(request.video->info().fps.value()));
        }
      }
      return results;
    });
  }
};

// Every future is fulfilled with its own request's result, whoever submits.
TEST(JudgeQueue, ManySubmittersGetTheirOwnResults) {
  JudgeQueue queue(rate_judge(), {.capacity = 2});
  std::atomic<int> right = 0;
  std::vector<std::thread> submitters;
  for (int t = 0; t < 4; ++t) {
    submitters.emplace_back([&, t] {
      for (int i = 1; i <= 50; ++i) {
        const int rate = t * 1000 + i;
        auto submission = queue.submit({tiny_video(rate), {"p", ""}});
        right += reward(submission.result) == rate ? 1 : 0;
      }
    });
  }
  for (auto& thread : submitters) thread.join();
  EXPECT_EQ(right, 200);
}

// A request that waits can be cancelled; the others are not touched.
TEST(JudgeQueue, CancelTakesOutOneThatWaits) {
  Gate gate;
  JudgeQueue queue(gate.judge());
  auto running = queue.submit({tiny_video(1), {}});
  gate.entered.wait();
  auto waiting = queue.submit({tiny_video(2), {}});
  auto last = queue.submit({tiny_video(3), {}});
  EXPECT_EQ(queue.waiting(), 2u);
  EXPECT_TRUE(queue.cancel(waiting.ticket));
  EXPECT_FALSE(queue.cancel(waiting.ticket));
  EXPECT_FALSE(queue.cancel(999));
  EXPECT_EQ(code(waiting.result), "cancelled");
  gate.release();
  EXPECT_EQ(reward(running.result), 1);
  EXPECT_EQ(reward(last.result), 3);
}

// Cancelling the one that is being judged asks the judge to stop it, and nobody else.
TEST(JudgeQueue, CancelStopsTheOneThatIsJudged) {
  Gate gate;
  JudgeQueue queue(gate.judge());
  auto running = queue.submit({tiny_video(1), {}});
  gate.entered.wait();
  auto waiting = queue.submit({tiny_video(2), {}});
  EXPECT_FALSE(queue.cancel(running.ticket));
  EXPECT_EQ(code(running.result), "cancelled");
  EXPECT_EQ(reward(waiting.result), 2);
}

// cancel_all stops a slow judge, empties the queue and refuses what comes.
TEST(JudgeQueue, CancelAllStopsARunningJudge) {
  Gate gate;
  JudgeQueue queue(gate.judge());
  auto running = queue.submit({tiny_video(), {}});
  gate.entered.wait();
  auto waiting = queue.submit({tiny_video(), {}});
  queue.cancel_all();
  EXPECT_EQ(code(running.result), "cancelled");
  EXPECT_EQ(code(waiting.result), "cancelled");
  auto late = queue.submit({tiny_video(), {}});
  EXPECT_EQ(code(late.result), "cancelled");
}

// Destruction fulfils every future and does not hang on a slow judge.
TEST(JudgeQueue, DestructionFulfilsEveryFuture) {
  Gate gate;
  std::vector<std::future<Result>> results;
  {
    JudgeQueue queue(gate.judge());
    for (int i = 0; i < 5; ++i) results.push_back(queue.submit({tiny_video(), {}}).result);
    gate.entered.wait();
  }
  for (auto& result : results) EXPECT_EQ(code(result), "cancelled");
}

// submit() blocks while the queue is full and goes on when there is room.
TEST(JudgeQueue, BackPressureBlocksTheSubmitter) {
  Gate gate;
  JudgeQueue queue(gate.judge(), {.capacity = 1});
  auto running = queue.submit({tiny_video(1), {}});
  gate.entered.wait();
  auto waiting = queue.submit({tiny_video(2), {}});
  std::atomic<bool> through = false;
  std::future<Result> third;
  std::thread submitter([&] {
    third = queue.submit({tiny_video(3), {}}).result;
    through = true;
  });
  EXPECT_EQ(queue.waiting(), 1u);
  EXPECT_FALSE(through);  // the judge is held, so there can be no room
  gate.release();
  submitter.join();
  EXPECT_EQ(reward(running.result), 1);
  EXPECT_EQ(reward(waiting.result), 2);
  EXPECT_EQ(reward(third), 3);
}

// A submitter that waits for room is let go by cancel_all.
TEST(JudgeQueue, CancelAllReleasesABlockedSubmitter) {
  Gate gate;
  JudgeQueue queue(gate.judge(), {.capacity = 1});
  auto running = queue.submit({tiny_video(), {}});
  gate.entered.wait();
  auto waiting = queue.submit({tiny_video(), {}});
  std::future<Result> third;
  std::thread submitter([&] { third = queue.submit({tiny_video(), {}}).result; });
  queue.cancel_all();
  submitter.join();
  EXPECT_EQ(code(third), "cancelled");
}

// What a judge throws reaches the futures of what it held; the queue goes on.
TEST(JudgeQueue, AThrowingJudgeFailsWhatItHeldOnly) {
  auto judge = std::make_shared<FakeJudge>(
      [first = true](std::span<const Request> requests, const std::stop_token&) mutable {
        if (std::exchange(first, false)) throw Error("judge_broken", "judge", "weights are gone");
        return std::vector<Result>(requests.size(), judgement(2));
      });
  JudgeQueue queue(judge);
  auto first = queue.submit({tiny_video(), {}});
  auto second = queue.submit({tiny_video(), {}});
  EXPECT_THROW(first.result.get(), Error);
  EXPECT_EQ(reward(second.result), 2);
}

/// A judge that holds two requests at a time and answers the newest first.
class NewestFirst final : public Judge {
 public:
  const JudgeInfo& info() const override { return info_; }
  std::vector<Result> judge(std::span<const Request>, std::stop_token) override { return {}; }
  void judge_stream(RequestSource& source) override {
    std::vector<RequestSource::Item> held;
    for (;;) {
      while (held.size() < 2) {
        auto item = source.next(held.empty());
        if (!item) break;
        held.push_back(std::move(*item));
      }
      if (held.empty()) return;
      RequestSource::Item item = std::move(held.back());
      held.pop_back();
      const double rate = item.request.video->info().fps.value();
      item.request = {};
      if (rate == 13) throw Error("judge_broken", "judge", "thirteen");
      source.done(item.ticket, item.stop.stop_requested() ? Result(Failure{"cancelled", "stopped"})
                                                          : Result(judgement(rate)));
    }
  }

 private:
  JudgeInfo info_{.id = "newest", .name = "newest", .slots = 2};
};

// A judge may hold several requests, take more while it judges and answer in any order; everyone
// gets their own result, and room in the queue opens as requests are taken.
TEST(JudgeQueue, FeedsAJudgeThatHoldsSeveral) {
  JudgeQueue queue(std::make_shared<NewestFirst>(), {.capacity = 2});
  std::atomic<int> right = 0;
  std::vector<std::thread> submitters;
  for (int t = 1; t <= 3; ++t) {
    submitters.emplace_back([&, t] {
      std::vector<std::pair<int, std::future<Result>>> mine;
      for (int i = 0; i < 40; ++i) {
        const int rate = t * 1000 + i;
        mine.emplace_back(rate, queue.submit({tiny_video(rate), {}}).result);
      }
      for (auto& [rate, result] : mine) right += reward(result) == rate ? 1 : 0;
    });
  }
  for (auto& thread : submitters) thread.join();
  EXPECT_EQ(right, 120);
}

// What a streaming judge throws reaches all that it held, and the queue goes on.
TEST(JudgeQueue, AStreamThatThrowsFailsWhatItHeld) {
  JudgeQueue queue(std::make_shared<NewestFirst>());
  std::vector<std::future<Result>> results;
  for (int i = 0; i < 20; ++i)
    results.push_back(queue.submit({tiny_video(i == 10 ? 13 : 1), {}}).result);
  int thrown = 0;
  for (auto& result : results) {
    try {
      result.get();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "judge_broken");
      ++thrown;
    }
  }
  EXPECT_GE(thrown, 1);
  EXPECT_LE(thrown, 2);
}

// A judge that returns or throws before it takes anything fails who waits, and does not spin.
TEST(JudgeQueue, AJudgeThatTakesNothingIsFoundOut) {
  struct Idle final : Judge {
    const JudgeInfo& info() const override { return info_; }
    std::vector<Result> judge(std::span<const Request>, std::stop_token) override { return {}; }
    void judge_stream(RequestSource&) override {
      if (throws) throw Error("weights_gone", "judge", "weights are gone");
    }
    explicit Idle(bool t) : throws(t) {}
    bool throws;
    JudgeInfo info_;
  };
  for (const bool throws : {false, true}) {
    JudgeQueue queue(std::make_shared<Idle>(throws));
    for (int i = 0; i < 3; ++i) {
      auto submission = queue.submit({tiny_video(), {}});
      try {
        submission.result.get();
        ADD_FAILURE() << "an error was expected";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), throws ? "weights_gone" : "judge_broken");
      }
    }
  }
}

// When a future is ready the queue holds its video no more, however the request ended.
TEST(JudgeQueue, LetsGoOfVideosBeforeItTells) {
  Gate gate;
  JudgeQueue queue(gate.judge());
  auto running = queue.submit({tiny_video(), {}});
  gate.entered.wait();
  const auto submit = [&](std::weak_ptr<const Video>& watcher) {
    VideoPtr video = tiny_video();
    watcher = video;
    return queue.submit({std::move(video), {}});
  };
  std::weak_ptr<const Video> taken_out, judged, swept;
  auto first = submit(taken_out);
  auto second = submit(judged);
  EXPECT_TRUE(queue.cancel(first.ticket));
  first.result.wait();
  EXPECT_TRUE(taken_out.expired());
  gate.release();
  second.result.wait();
  EXPECT_TRUE(judged.expired());

  JudgeQueue failing(std::make_shared<FakeJudge>(
      [](std::span<const Request>, const std::stop_token&) -> std::vector<Result> {
        throw Error("judge_broken", "judge", "weights are gone");
      }));
  VideoPtr video = tiny_video();
  swept = video;
  auto third = failing.submit({std::move(video), {}});
  third.result.wait();
  EXPECT_TRUE(swept.expired());
}

// Submitters, cancellers and a judge that sometimes throws at once: every future is fulfilled, and
// what cancel() said is what happened.
TEST(JudgeQueue, EveryFutureIsFulfilledUnderContention) {
  auto judge = std::make_shared<FakeJudge>(
      [calls = 0](std::span<const Request> requests, const std::stop_token& stop) mutable {
        if (++calls % 7 == 0) throw Error("judge_broken", "judge", "now and then");
        if (stop.stop_requested()) {
          return std::vector<Result>(requests.size(), Failure{"cancelled", "stopped"});
        }
        return std::vector<Result>(requests.size(), judgement(1));
      });
  JudgeQueue queue(judge, {.capacity = 3});
  std::atomic<int> fulfilled = 0, wrong = 0;
  std::latch half{100};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        auto submission = queue.submit({tiny_video(), {}});
        const bool taken_out = (i + t) % 3 == 0 && queue.cancel(submission.ticket);
        try {
          const Result result = submission.result.get();
          const bool cancelled = failed(result) && std::get<Failure>(result).code == "cancelled";
          wrong += taken_out && !cancelled ? 1 : 0;
        } catch (const Error&) {
          wrong += taken_out ? 1 : 0;
        }
        ++fulfilled;
        if (i < 25) half.count_down();
      }
    });
  }
  half.wait();
  queue.cancel_all();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(fulfilled, 200);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(queue.waiting(), 0u);
}

// A judge that loses results is found out.
TEST(JudgeQueue, TooFewResultsAreAnError) {
  JudgeQueue queue(std::make_shared<FakeJudge>(
      [](std::span<const Request>, const std::stop_token&) { return std::vector<Result>(); }));
  auto submission = queue.submit({tiny_video(), {}});
  try {
    submission.result.get();
    FAIL() << "an error was expected";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "judge_broken");
  }
}

TEST(JudgeQueue, RefusesSenselessOptions) { EXPECT_THROW(JudgeQueue(nullptr), UsageError); }

}  // namespace
}  // namespace bestreel
