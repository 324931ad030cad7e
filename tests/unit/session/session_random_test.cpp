// Random searches, killed at random and gone on with. BESTREEL_RANDOM_SEED=FIRST,COUNT runs others,
// for as long as one likes.
#include <csignal>
#include <cstdlib>
#include <sstream>

#include "random_strategy.h"
#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::Fault;
using testing::Hands;
using testing::mixed;
using testing::RandomOptions;
using testing::RandomStrategy;
using testing::SyntheticEngine;

/// Compares by the order and the rates of a group: each result depends on the whole of it.
class GroupJudge final : public Judge {
 public:
  GroupJudge() {
    info_.id = info_.name = "fake-group/1";
    info_.groupwise = true;
  }
  const JudgeInfo& info() const override { return info_; }
  std::vector<Result> judge_group(std::span<const Request> group, std::stop_token) override {
    std::uint64_t whole = 1;
    for (const Request& each : group) {
      whole = mixed(whole ^ static_cast<std::uint64_t>(each.video->info().fps.num));
    }
    std::vector<Result> results;
    for (std::size_t i = 0; i < group.size(); ++i) {
      results.push_back(testing::judgement(testing::quality_of(whole + i)));
    }
    return results;
  }

 private:
  JudgeInfo info_;
};

class SessionRandomTest : public testing::SessionFixture {
 protected:
  static constexpr int kSteps = 10;

  static std::vector<std::uint64_t> seeds(std::uint64_t count) {
    std::uint64_t first = 1;
    if (const char* given = std::getenv("BESTREEL_RANDOM_SEED")) {
      char comma = 0;
      std::istringstream(given) >> first >> comma >> count;
    }
    return consecutive_seeds(first, count);
  }

  /// What a seed decides: the strategy, how the engine runs, what breaks in it, and the budget.
  struct Search {
    RandomOptions options;
    Hands hands = Hands::kOne;
    std::size_t keep_bytes = 0;
    double max_forwards = 0;
    std::map<std::uint64_t, int> breaks;
    std::map<std::uint64_t, int> starved;
  };

  static Search search_of(std::uint64_t seed) {
    Search s;
    const std::uint64_t chance = mixed(seed * 77);
    s.options.seed = seed;
    s.options.steps = kSteps;
    s.options.stochastic_until = std::array{0, 4, kSteps - 1, kSteps}[chance % 4];
    s.options.lockstep = (chance >> 8) % 4 != 0;
    if (!s.options.lockstep) {
      s.hands = Hands::kAtATime;
    } else {
      s.hands = std::array{Hands::kOne, Hands::kMany, Hands::kFour}[(chance >> 16) % 3];
    }
    s.keep_bytes = std::array<std::size_t, 3>{0, 3000, 1 << 20}[(chance >> 24) % 3];
    if ((chance >> 32) % 3 == 0) s.max_forwards = 200 + static_cast<double>((chance >> 40) % 200);
    if ((chance >> 48) % 2 == 0) s.breaks[seed * 1000 + 1] = 3;
    return s;
  }

  static std::unique_ptr<SyntheticEngine> engine_of(const Search& s) {
    auto engine = std::make_unique<SyntheticEngine>(s.hands, kSteps, s.keep_bytes);
    engine->what.stochastic_until = s.options.stochastic_until;
    engine->breaks = s.breaks;
    engine->starved = s.starved;
    return engine;
  }

  Outcome go(const std::string& directory, const Search& s, SyntheticEngine& engine,
             bool* spoilt = nullptr) {
    return run(directory, engine, std::make_unique<RandomStrategy>(s.options, spoilt),
               [&](SessionOptions& options) { options.max_forwards = s.max_forwards; },
               {testing::rate_judge(), testing::rate_judge(), std::make_shared<GroupJudge>()});
  }

  Outcome go(const std::string& directory, const Search& s) {
    return go(directory, s, *engine_of(s));
  }

  static std::map<std::string, std::string> files(const std::string& directory) {
    std::map<std::string, std::string> all;
    for (const auto& each : std::filesystem::recursive_directory_iterator(directory)) {
      if (each.is_regular_file() && each.path().extension() == ".txt") {
        all[std::filesystem::relative(each.path(), directory).string()] =
            read_file(each.path().string());
      }
    }
    return all;
  }

  void expect_equal(const std::string& directory, const Outcome& outcome, const Outcome& expected,
                    bool with_files = true) {
    EXPECT_TRUE(outcome.complete);
    EXPECT_EQ(outcome.view.winner, expected.view.winner);
    EXPECT_EQ(table(directory), table(run_));
    if (with_files) EXPECT_EQ(files(directory), files(run_));
  }

  void fresh() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
};

// However its candidates are scheduled, a search is the same; likewise where memory runs out once.
TEST_F(SessionRandomTest, SchedulingAndAShortageChangeNothing) {
  for (const std::uint64_t seed : seeds(12)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    fresh();
    Search s = search_of(seed);
    s.options.lockstep = true;
    s.hands = Hands::kOne;
    const Outcome expected = go(run_, s);
    ASSERT_TRUE(expected.complete);
    for (const Hands hands : {Hands::kMany, Hands::kFour}) {
      s.hands = hands;
      const std::string directory = run_ + std::to_string(static_cast<int>(hands));
      expect_equal(directory, go(directory, s), expected);
    }
    s.hands = Hands::kOne;
    s.starved[seed * 1000] = s.starved[seed * 1000 + 3] = 1;
    expect_equal(run_ + "s", go(run_ + "s", s), expected);
  }
}

// Cut off after any event, and killed by the system at an instant of chance: the same events, files
// and winner.
TEST_F(SessionRandomTest, KilledAndGoneOnWithItEndsTheSame) {
  for (const std::uint64_t seed : seeds(24)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    fresh();
    const Search s = search_of(seed);
    const Outcome expected = go(run_, s);
    ASSERT_TRUE(expected.complete);
    const std::vector<Event> events = RunStore::open_read_only(run_).events();
    for (std::uint64_t cut = 0; cut < 4; ++cut) {
      const auto kept = static_cast<std::ptrdiff_t>(1 + mixed(seed + cut) % events.size());
      const std::string directory = run_ + "cut" + std::to_string(cut);
      SCOPED_TRACE("after event " + std::to_string(kept));
      {
        RunStore store = RunStore::create(directory);
        store.append(std::vector<Event>(events.begin(), events.begin() + kept));
      }
      // The files of what is recorded were left behind with the directory.
      expect_equal(directory, go(directory, s), expected, /*with_files=*/false);
    }
    const std::string directory = run_ + "killed";
    for (std::uint64_t kill = 0; kill < 2; ++kill) {
      in_child([&] {
        const auto again = engine_of(s);
        std::atomic<std::uint64_t> legs{0};
        const std::uint64_t last = 1 + mixed(seed * 5 + kill) % 20;
        again->before_leg = [&](std::uint64_t, int) {
          if (++legs == last) raise(SIGKILL);
        };
        go(directory, s, *again);
        return 0;
      });
    }
    expect_equal(directory, go(directory, s), expected);
  }
}

/// Takes one candidate to its end.
class Alone final : public SamplerCallback {
 public:
  explicit Alone(int steps) : steps_(steps) {}
  int next_stop(int) const override { return steps_; }
  bool request_steps(CandidateId, int, int) override { return true; }
  void on_steps_done(CandidateId, int, const Cost&) override {}
  std::optional<PreviewRequest> wants_preview(CandidateId, int) const override { return {}; }
  void preview(CandidateId, int, DecodedFrames, const Cost&) override {}
  std::vector<Assignment> resample_at(int) override { return {}; }
  void finished(CandidateId, FinishedVideo video, const Cost&) override {
    rate = std::to_string(std::get<VideoPtr>(video)->info().fps.num);
  }
  void failed(CandidateId, int, Failure failure, const Cost&) override { rate = failure.sentence; }

  std::string rate;

 private:
  const int steps_;
};

// Every finished candidate is what its text says, on an engine that knows nothing of the search.
TEST_F(SessionRandomTest, AnyCandidateIsMadeAgainFromItsText) {
  std::size_t copies = 0, renoised = 0, drafts = 0, all = 0;
  for (const std::uint64_t seed : seeds(24)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    fresh();
    const Search s = search_of(seed);
    const Outcome outcome = go(run_, s);
    for (const TrajectoryRecord& record : outcome.view.trajectories) {
      if (record.end != TrajectoryRecord::End::kFinished) continue;
      const auto engine = engine_of(s);
      Alone alone(kSteps);
      engine->run(std::vector<Start>{{0, {}, State::parse(record.state), record.draft, ""}}, alone);
      EXPECT_EQ(alone.rate, read_file(run_ + "/" + record.id + ".txt")) << record.state;
      ++all;
      copies += record.state.find("fork(") != std::string::npos;
      renoised += record.state.find("renoise(") != std::string::npos;
      drafts += record.draft;
    }
  }
  if (std::getenv("BESTREEL_RANDOM_SEED") != nullptr) return;
  // Else it would be the same test with less in it.
  EXPECT_GT(all, 200u);
  EXPECT_GT(copies, 50u);
  EXPECT_GT(renoised, 30u);
  EXPECT_GT(drafts, 10u);
}

// What may not be asked or answered is refused in a sentence that names the strategy, and nothing
// is lost: the same strategy without its fault goes on and ends as if there had been none.
TEST_F(SessionRandomTest, WhatMayNotBeAskedIsRefusedAndCostsNothing) {
  std::set<int> met;
  for (const std::uint64_t seed : seeds(8)) {
    for (int fault = 1; fault <= static_cast<int>(testing::kLastFault); ++fault) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", fault " + std::to_string(fault));
      fresh();
      Search s = search_of(seed);
      s.options.lockstep = true;
      s.options.stochastic_until = 5;
      s.hands = std::array{Hands::kOne, Hands::kMany, Hands::kFour}[fault % 3];
      s.max_forwards = 0;
      const Outcome expected = go(run_, s);
      bool spoilt = false;
      s.options.fault = static_cast<Fault>(fault);
      const std::string directory = run_ + "f";
      try {
        go(directory, s, *engine_of(s), &spoilt);
        EXPECT_FALSE(spoilt) << "what may not be asked was done";
      } catch (const UsageError& error) {
        EXPECT_TRUE(spoilt) << error.what();
        EXPECT_EQ(error.op(), "session");
        EXPECT_NE(std::string(error.what()).find("random("), std::string::npos) << error.what();
      }
      if (!spoilt) continue;
      met.insert(fault);
      s.options.fault = Fault::kNone;
      expect_equal(directory, go(directory, s), expected);
    }
  }
  if (std::getenv("BESTREEL_RANDOM_SEED") != nullptr) return;
  for (int fault = 1; fault <= static_cast<int>(testing::kLastFault); ++fault) {
    EXPECT_TRUE(met.contains(fault)) << "fault " << fault << " was never tried";
  }
}

}  // namespace
}  // namespace bestreel
