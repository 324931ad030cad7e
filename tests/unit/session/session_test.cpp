#include "plugin/session.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>

#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::Hands;
using testing::quality_of;
using testing::SyntheticEngine;

/// Asks for one wave with barriers; what it is told is written down.
class Scribe final : public Strategy {
 public:
  Scribe(std::size_t n, std::vector<int> barriers, int lag, std::vector<std::string>* told)
      : n_(n), barriers_(std::move(barriers)), lag_(lag), told_(told) {}

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  Ask ask() override {
    if (std::exchange(asked_, true)) return {};
    Ask ask{.barriers = barriers_, .lag = lag_};
    for (std::size_t i = 0; i < n_; ++i) {
      ask.starts.push_back({static_cast<CandidateId>(i), Noise::seed(i + 1)});
    }
    return ask;
  }
  using Strategy::tell;
  Answer tell(const Barrier& barrier) override {
    for (const auto& each : barrier.candidates) {
      told_->push_back(std::to_string(barrier.step) + " " + candidate_name(each.id));
    }
    return answer(barrier);
  }
  void tell(const Finished& finished) override {
    told_->push_back(std::string(finished.failure ? finished.failure->code : "end") + " " +
                     candidate_name(finished.id));
    finished_.push_back(finished);
  }
  std::vector<Ranked> ranking() const override { return best_first(finished_, {}); }

  std::function<Answer(const Barrier&)> answer = [](const Barrier& barrier) {
    Answer all;
    for (const auto& each : barrier.candidates) all.assignments.push_back({each.id, each.id, 0});
    return all;
  };
  Needs needs_{.scheduling = Scheduling::kLockstep, .previews = true};

 private:
  const std::string id_ = "scribe(1)";
  const std::size_t n_;
  const std::vector<int> barriers_;
  const int lag_;
  std::vector<std::string>* told_;
  bool asked_ = false;
  std::vector<Finished> finished_;
};

class SessionTest : public testing::SessionFixture {
 protected:
  std::vector<std::string> told_;
};

// Tells come in the order (wave, step, candidate), whatever the order in which threads bring
// results.
TEST_F(SessionTest, TellsAreOrderedWhateverArrivesFirst) {
  const std::vector<std::string> expected{"4 c000",   "4 c001",   "4 c002",   "4 c003",
                                          "9 c000",   "9 c001",   "9 c002",   "9 c003",
                                          "end c000", "end c001", "end c002", "end c003"};
  for (std::uint64_t chance = 0; chance < 8; ++chance) {
    told_.clear();
    SyntheticEngine engine(Hands::kMany);
    engine.chance = chance;
    run(run_ + std::to_string(chance), engine,
        std::make_unique<Scribe>(4, std::vector<int>{4, 9}, 0, &told_));
    EXPECT_EQ(told_, expected) << "order of chance " << chance;
  }
}

// The events of a run are the same, however its work was scheduled.
TEST_F(SessionTest, ThreadsAndOverlapChangeNothing) {
  const auto strategy = [&] { return halving({.seeds = consecutive_seeds(1, 8), .steps = 20}); };
  SyntheticEngine one(Hands::kOne);
  const RunView expected = run(run_, one, strategy()).view;
  for (std::uint64_t chance = 0; chance < 4; ++chance) {
    const std::string directory = run_ + std::to_string(chance);
    SyntheticEngine many(Hands::kMany);
    many.chance = chance;
    const RunView view = run(directory, many, strategy(), [&](SessionOptions& options) {
                           options.overlap = chance % 2 == 0;
                           options.queue_capacity = 1 + chance;
                         }).view;
    EXPECT_EQ(view.winner, expected.winner);
    EXPECT_EQ(table(directory), table(run_));
    EXPECT_EQ(best(directory), best(run_));
  }
}

// The winner is a noise and not a number: the order of seeds and more losers change nothing.
TEST_F(SessionTest, TheWinnerDoesNotDependOnOrderOrN) {
  std::vector<std::uint64_t> seeds = consecutive_seeds(40, 6);
  const std::string expected = Noise::seed(best_seed(seeds)).text();
  int runs = 0;
  for (const bool with_losers : {false, true}) {
    if (with_losers) {
      for (std::uint64_t seed = 100; seed < 140; ++seed) {
        if (quality_of(seed) < quality_of(best_seed(seeds)) && seeds.size() < 9) {
          seeds.push_back(seed);
        }
      }
      ASSERT_EQ(seeds.size(), 9u);
    }
    for (const Hands hands : {Hands::kOne, Hands::kMany, Hands::kAtATime}) {
      std::rotate(seeds.begin(), seeds.begin() + 2, seeds.end());
      SyntheticEngine engine(hands);
      const RunView view =
          run(run_ + std::to_string(runs++), engine, best_of_n({.seeds = seeds})).view;
      EXPECT_EQ(winning_noise(view), expected);
    }
  }
}

// An answer of lag d takes effect exactly at k + d: until then the engine is not asked to wait, and
// who is dropped is charged up to there and no further.
TEST_F(SessionTest, LagTakesEffectExactlyThen) {
  SyntheticEngine engine;
  auto strategy = std::make_unique<Scribe>(2, std::vector<int>{5}, 3, &told_);
  strategy->answer = [](const Barrier&) { return Answer{{{1, 1, 0}}}; };
  const RunView view = run(run_, engine, std::move(strategy)).view;
  EXPECT_EQ(engine.forwards, 2 * (8 + 20));
  EXPECT_EQ(trajectory(view, 0).end, TrajectoryRecord::End::kDropped);
  EXPECT_EQ(trajectory(view, 0).step, 8);
  EXPECT_EQ(trajectory(view, 0).previews.at(0).step, 5);
  EXPECT_EQ(view.winner, "c001");
}

// With a lag, denoising goes on while the judge still thinks: the judge here waits until the engine
// has begun the next leg, which would never happen without overlap.
TEST_F(SessionTest, LagLetsTheEngineRunAhead) {
  std::mutex mutex;
  std::condition_variable changed;
  bool ahead = false;
  auto judge = std::make_shared<testing::FakeJudge>(
      [&](std::span<const Request> requests, const std::stop_token&) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return ahead; });
        return std::vector<Result>(requests.size(), testing::judgement(3));
      });
  SyntheticEngine engine;
  engine.before_leg = [&](std::uint64_t, int from) {
    if (from < 5) return;
    const std::scoped_lock lock(mutex);
    ahead = true;
    changed.notify_all();
  };
  const Outcome outcome =
      run(run_, engine, std::make_unique<Scribe>(1, std::vector<int>{5}, 3, &told_), {}, {judge});
  EXPECT_TRUE(outcome.complete);
}

// A duplicate goes on from its parent's state, and its lineage is kept.
TEST_F(SessionTest, ResamplingGoesOnFromTheParent) {
  SyntheticEngine engine;
  auto strategy = std::make_unique<Scribe>(2, std::vector<int>{5}, 0, &told_);
  strategy->answer = [](const Barrier&) { return Answer{{{1, 0, 77}, {0, 0, 0}}}; };
  const RunView view = run(run_, engine, std::move(strategy)).view;
  ASSERT_EQ(trajectory(view, 1).resamplings.size(), 1u);
  EXPECT_EQ(trajectory(view, 1).resamplings.at(0).parent, "c000");
  std::uint64_t copy = 1;  // each step of a copy draws noise by its text
  for (int step = 5; step < 20; ++step) {
    copy = testing::keyed(copy, "fork(at(seed(1),5),77)/step " + std::to_string(step));
  }
  for (const Candidate& candidate : view.candidates) {
    EXPECT_EQ(candidate.reward, quality_of(candidate.id == "c001" ? copy : 1));
  }
}

// What fails is that candidate's end and nobody else's.
TEST_F(SessionTest, AFailureNeverEndsTheRun) {
  for (const Hands hands : {Hands::kOne, Hands::kMany}) {
    const std::string directory = run_ + std::to_string(static_cast<int>(hands));
    told_.clear();
    SyntheticEngine engine(hands);
    engine.breaks = {{1, 3}, {2, 12}};
    engine.unshowable = {3};
    const RunView view =
        run(directory, engine, std::make_unique<Scribe>(4, std::vector<int>{5}, 0, &told_)).view;
    EXPECT_EQ(told_, (std::vector<std::string>{"5 c001", "5 c002", "5 c003", "nan_latents c000",
                                               "nan_latents c001", "end c002", "end c003"}));
    EXPECT_EQ(trajectory(view, 0).end, TrajectoryRecord::End::kFailed);
    EXPECT_EQ(trajectory(view, 0).step, 3);
    EXPECT_EQ(trajectory(view, 0).reason, "[synthetic] NaN in latents");
    EXPECT_EQ(std::get<Failure>(*trajectory(view, 2).previews.at(0).result).code, "preview_broken");
    EXPECT_EQ(view.ledger.forwards, 2 * (3 + 12 + 20 + 20));
    EXPECT_TRUE(view.finished);
    EXPECT_FALSE(view.winner.empty());
  }
}

// A candidate that fails while its preview is still being judged is recorded as failed after that
// judgement: else a kill between the two would lose it, since nobody makes a failed one again.
TEST_F(SessionTest, AFailureWaitsForItsPreviews) {
  std::mutex mutex;
  std::condition_variable changed;
  bool failing = false;
  auto judge = std::make_shared<testing::FakeJudge>(
      [&](std::span<const Request> requests, const std::stop_token&) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return failing; });
        return std::vector<Result>(requests.size(), testing::judgement(3));
      });
  SyntheticEngine engine;
  engine.breaks = {{1, 7}};
  engine.before_leg = [&](std::uint64_t, int from) {
    if (from < 5) return;
    const std::scoped_lock lock(mutex);
    failing = true;
    changed.notify_all();
  };
  run(run_, engine, std::make_unique<Scribe>(2, std::vector<int>{5}, 3, &told_), {}, {judge});
  std::int64_t judged = 0, failed = 0;
  for (const Event& event : RunStore::open_read_only(run_).events()) {
    if (event.candidate != "c000") continue;
    if (event.kind == "preview_judged") judged = event.seq;
    if (event.kind == "failed") failed = event.seq;
  }
  EXPECT_GT(judged, 0);
  EXPECT_GT(failed, judged);
}

// A judge that fails for one candidate leaves it out; one that fails for all leaves no winner.
TEST_F(SessionTest, AJudgesFailureLeavesTheCandidateOut) {
  const auto judge_but = [](double below) {
    return std::make_shared<testing::FakeJudge>(
        [below](std::span<const Request> requests, const std::stop_token&) {
          std::vector<Result> results;
          for (const Request& request : requests) {
            const double quality = request.video->info().fps.value();
            results.push_back(quality < below ? Result(testing::judgement(quality))
                                              : Result(Failure{"judge_odd", "[fake] no"}));
          }
          return results;
        });
  };
  const std::vector<std::uint64_t> seeds = consecutive_seeds(1, 5);
  SyntheticEngine engine;
  const RunView view =
      run(run_, engine, best_of_n({.seeds = seeds}), {}, {judge_but(quality_of(best_seed(seeds)))})
          .view;
  ASSERT_EQ(view.candidates.size(), 5u);
  EXPECT_NE(winning_noise(view), Noise::seed(best_seed(seeds)).text());
  EXPECT_FALSE(view.candidates.back().reward.has_value());
  const RunView none =
      run(run_ + "0", engine, best_of_n({.seeds = seeds}), {}, {judge_but(0)}).view;
  EXPECT_EQ(none.winner, "");
  EXPECT_TRUE(none.finished);
}

// A judge that throws about itself ends the run; what was judged is kept, and it can go on.
TEST_F(SessionTest, ABrokenJudgeEndsTheRunForNow) {
  int judged = 0;
  const auto judge = std::make_shared<testing::FakeJudge>(
      [&](std::span<const Request> requests, const std::stop_token&) {
        if (++judged == 3) throw Error("checkpoint_corrupt", "run", "no weights");
        return std::vector<Result>(requests.size(),
                                   testing::judgement(requests[0].video->info().fps.value()));
      });
  const std::vector<std::uint64_t> seeds = consecutive_seeds(1, 4);
  const auto attempt = [&] {
    SyntheticEngine engine;
    return run(run_, engine, best_of_n({.seeds = seeds}), {}, {judge});
  };
  EXPECT_EQ(code_of([&] { attempt(); }), "checkpoint_corrupt");
  const Outcome outcome = attempt();
  EXPECT_TRUE(outcome.complete);
  // Whether the fourth was judged before the run heard of the third's failure is chance.
  EXPECT_EQ(judged, 5) << "one that threw, and each of the four once: none again";
  EXPECT_EQ(winning_noise(outcome.view), Noise::seed(best_seed(seeds)).text());
}

// A host says what it makes and keeps; who made and judged it the session writes down by itself.
TEST_F(SessionTest, AHostNeedNotDescribeItself) {
  SyntheticEngine engine;
  SessionOptions options = options_for(run_);
  options.settings = {};
  Session session(run_, engine.capabilities(), best_of_n({.seeds = {1, 2}}),
                  {testing::rate_judge()}, std::move(options));
  const RunSettings settings = session.run(engine).view.settings;
  EXPECT_EQ(settings.command, engine.capabilities().name);
  EXPECT_EQ(settings.prompt, "a red ball");
  EXPECT_EQ(settings.judges, std::vector{testing::rate_judge()->info().name});
  EXPECT_EQ(settings.judge_ids, std::vector{testing::rate_judge()->info().id});
}

// A mismatch is refused before anything runs, naming both sides, and leaves no folder.
TEST_F(SessionTest, AMismatchIsRefusedBeforeAnythingRuns) {
  const auto sentence = [&](StrategyPtr strategy, const EngineCapabilities& engine) {
    try {
      Session session(run_, engine, std::move(strategy), {testing::rate_judge()},
                      options_for(run_));
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  SyntheticEngine sequential(Hands::kAtATime);
  sequential.what.name = "diffusers";
  const auto halved = [] { return halving({.seeds = {1, 2}, .steps = 20}); };
  const std::string refused = sentence(halved(), sequential.what);
  EXPECT_NE(refused.find("halving"), std::string::npos) << refused;
  EXPECT_NE(refused.find("diffusers runs candidates one after the other"), std::string::npos)
      << refused;
  SyntheticEngine blind;
  blind.what.previews = false;
  EXPECT_NE(sentence(halved(), blind.what).find("shows previews"), std::string::npos);
  EXPECT_NE(sentence(race({.seeds = {1}, .steps = 20}), blind.what).find("race"),
            std::string::npos);
  EXPECT_NE(sentence(cascade({.seeds = {1}, .keep = {1}}), blind.what).find("2 judges, but got 1"),
            std::string::npos);
  SyntheticEngine plain;
  plain.what.branching = false;
  auto resampler = std::make_unique<Scribe>(1, std::vector<int>{}, 0, &told_);
  resampler->needs_.branching = true;
  EXPECT_NE(sentence(std::move(resampler), plain.what).find("copies"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(run_));
}

// Asks and answers that cannot be meant are named as the strategy's mistake.
TEST_F(SessionTest, AStrategysMistakesAreNamed) {
  const auto fails = [&](std::vector<int> barriers, int lag, std::vector<Assignment> assignments,
                         bool branching) {
    SyntheticEngine engine;
    engine.what.branching = branching;
    auto strategy = std::make_unique<Scribe>(2, std::move(barriers), lag, &told_);
    strategy->answer = [assignments](const Barrier&) { return Answer{assignments}; };
    static int runs = 0;
    try {
      run(run_ + std::to_string(runs++), engine, std::move(strategy));
    } catch (const UsageError&) {
      return true;
    }
    return false;
  };
  const std::vector<Assignment> fine{{0, 0, 0}};
  EXPECT_FALSE(fails({5}, 0, fine, true));
  EXPECT_TRUE(fails({5, 5}, 0, fine, true)) << "not ascending";
  EXPECT_TRUE(fails({0}, 0, fine, true)) << "before the first step";
  EXPECT_TRUE(fails({18}, 2, fine, true)) << "takes effect at the end";
  EXPECT_TRUE(fails({5, 7}, 2, fine, true)) << "a lag beyond the next barrier";
  EXPECT_TRUE(fails({5}, 0, {{7, 7, 0}}, true)) << "nobody there";
  EXPECT_TRUE(fails({5}, 0, {{0, 0, 0}, {0, 1, 0}}, true)) << "one assignment twice";
  EXPECT_FALSE(fails({5}, 0, {{1, 0, 3}}, true));
  EXPECT_TRUE(fails({5}, 0, {{1, 0, 3}}, false)) << "an engine that cannot copy";
}

/// Breaks the protocol in one way.
class BrokenEngine final : public Engine {
 public:
  explicit BrokenEngine(std::function<void(SamplerCallback&)> run) : run_(std::move(run)) {}
  const EngineCapabilities& capabilities() const override { return inner_.what; }
  void run(std::span<const Start>, SamplerCallback& callback) override { run_(callback); }

 private:
  SyntheticEngine inner_;
  std::function<void(SamplerCallback&)> run_;
};

// An engine that does not keep to the protocol is named, instead of a wait without end.
TEST_F(SessionTest, AnEnginesMistakesAreNamed) {
  int runs = 0;
  const auto code = [&](const std::function<void(SamplerCallback&)>& work) {
    BrokenEngine engine(work);
    return code_of([&] {
      try {
        run(run_ + std::to_string(runs++), engine,
            std::make_unique<Scribe>(1, std::vector<int>{5}, 0, &told_));
      } catch (const Error& error) {
        throw Error(error.code(), "run", error.what());
      }
    });
  };
  const VideoPtr video = testing::tiny_video();
  EXPECT_EQ(code([](SamplerCallback&) {}), "engine_broken") << "does nothing";
  EXPECT_EQ(code([](SamplerCallback& o) { o.on_steps_done(7, 5, {}); }), "engine_broken")
      << "nobody's";
  EXPECT_EQ(code([](SamplerCallback& o) {
              o.on_steps_done(0, 5, {});
              o.resample_at(5);
            }),
            "engine_broken")
      << "no preview";
  EXPECT_EQ(code([&](SamplerCallback& o) { o.finished(0, video, {}); }), "engine_broken")
      << "too early";
  EXPECT_EQ(code([&](SamplerCallback& o) { o.finished(0, nullptr, {}); }), "engine_broken")
      << "no video";
  EXPECT_EQ(code([&](SamplerCallback& o) {
              o.on_steps_done(0, 20, {});
              o.finished(0, video, {});
            }),
            "");
}

// A host that owns its loop needs no Engine.
TEST_F(SessionTest, AHostMayOwnItsLoop) {
  SyntheticEngine engine;
  Session session(run_, engine.what, best_of_n({.seeds = {1, 2, 3}}), {testing::rate_judge()},
                  options_for(run_));
  for (auto wave = session.next_wave(); !wave.empty(); wave = session.next_wave()) {
    for (const Start& start : wave) {
      EXPECT_EQ(start.condition.prompt, "a red ball");
      if (!session.request_steps(start.id, 0, 20)) continue;
      session.on_steps_done(start.id, 20, {40, 0, 0});
      session.finished(start.id, testing::video_of_quality(2 + 0.5 * static_cast<double>(start.id)),
                       {});
    }
  }
  const Outcome outcome = session.finish();
  EXPECT_TRUE(outcome.complete);
  EXPECT_EQ(outcome.view.winner, "c002");
  EXPECT_EQ(outcome.view.settings.negative, "blurry");
  EXPECT_EQ(best(run_), "3000");
}

// Ctrl-C stops at the next call; the same command ends as if it had never been pressed.
TEST_F(SessionTest, AnInterruptedRunGoesOn) {
  const auto strategy = [] { return halving({.seeds = consecutive_seeds(1, 4), .steps = 20}); };
  SyntheticEngine whole;
  run(run_ + "0", whole, strategy());

  std::stop_source stop;
  SyntheticEngine engine;
  engine.before_leg = [&](std::uint64_t seed, int from) {
    if (seed == 3 && from == 0) stop.request_stop();
  };
  const Outcome interrupted = run(
      run_, engine, strategy(), [&](SessionOptions& options) { options.stop = stop.get_token(); });
  EXPECT_FALSE(interrupted.complete);
  EXPECT_FALSE(interrupted.view.finished);
  engine.before_leg = [](std::uint64_t, int) {};
  EXPECT_TRUE(run(run_, engine, strategy()).complete);
  EXPECT_EQ(table(run_), table(run_ + "0"));
}

// The trace opens in a viewer and shows both sides.
TEST_F(SessionTest, TheTraceShowsEngineAndJudge) {
  std::filesystem::create_directories(run_);
  const std::string path = run_ + "/trace.json";
  {
    Trace trace(path);
    SyntheticEngine engine;
    run(run_, engine, best_of_n({.seeds = {1, 2}}),
        [&](SessionOptions& options) { options.trace = &trace; });
    trace.close();
  }
  const std::string text = read_file(path);
  EXPECT_TRUE(text.starts_with("[\n{") && text.ends_with("}\n]\n")) << text;
  for (const char* what : {"\"engine\"", "\"judge 1\"", "denoise c001", "decode c000"}) {
    EXPECT_NE(text.find(what), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace bestreel
