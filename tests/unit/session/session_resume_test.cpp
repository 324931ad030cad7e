#include <csignal>

#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::Hands;
using testing::SyntheticEngine;

/// One way to run: what is killed and resumed.
struct Case {
  std::string name;
  std::function<StrategyPtr()> strategy;
  Hands hands = Hands::kOne;
  std::map<std::uint64_t, int> breaks = {};
  double max_forwards = 0;
  std::size_t judges = 1;
};

void PrintTo(const Case& each, std::ostream* out) { *out << each.name; }

class SessionResumeTest : public testing::SessionFixture,
                          public ::testing::WithParamInterface<Case> {
 protected:
  Outcome go(const std::string& directory, SyntheticEngine& engine) {
    const Case& c = GetParam();
    engine.breaks = c.breaks;
    // Early previews mislead, so that what is dropped differs from what would win.
    engine.preview = [](std::uint64_t seed, double quality, int step) {
      return std::round((quality + testing::quality_of(seed * 31 + step)) * 500) / 1000;
    };
    return run(
        directory, engine, c.strategy(),
        [&](SessionOptions& options) { options.max_forwards = c.max_forwards; },
        std::vector<JudgePtr>(c.judges, testing::rate_judge()));
  }
};

// Killed after any event and made again, a run ends with the same winner, file, ledger and events;
// what was judged is not judged again.
TEST_P(SessionResumeTest, KilledAfterAnyEventItEndsTheSame) {
  SyntheticEngine engine(GetParam().hands);
  const RunView expected = go(run_, engine).view;
  ASSERT_FALSE(expected.winner.empty());
  const std::vector<Event> events = RunStore::open_read_only(run_).events();
  const std::string expected_table = table(run_), expected_best = best(run_);
  for (std::size_t kept = 1; kept <= events.size(); ++kept) {
    SCOPED_TRACE("killed after event " + std::to_string(kept) + ", " + events[kept - 1].kind);
    const std::string directory = run_ + std::to_string(kept);
    {
      RunStore store = RunStore::create(directory);
      store.append(
          std::vector<Event>(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(kept)));
    }
    SyntheticEngine again(GetParam().hands);
    const Outcome outcome = go(directory, again);
    ASSERT_TRUE(outcome.complete);
    EXPECT_EQ(outcome.view.winner, expected.winner);
    EXPECT_EQ(table(directory), expected_table);
    EXPECT_EQ(best(directory), expected_best);
    EXPECT_EQ(outcome.view.ledger.forwards, expected.ledger.forwards);
    EXPECT_EQ(outcome.view.ledger.judgements, expected.ledger.judgements);
    const std::vector<Event> before(events.begin(),
                                    events.begin() + static_cast<std::ptrdiff_t>(kept));
    EXPECT_EQ(again.forwards, expected.ledger.forwards - project_costs(decode(before)).forwards +
                                  outcome.view.ledger.redone_forwards)
        << "what ran is either new or said to be done again";
    if (kept == events.size()) EXPECT_EQ(again.forwards, 0) << "a finished run makes nothing";
  }
}

// Killed by the system at an instant of chance, with threads running, likewise.
TEST_P(SessionResumeTest, KilledByTheSystemItEndsTheSame) {
  SyntheticEngine engine(GetParam().hands);
  go(run_, engine);
  const std::string directory = run_ + "k";
  for (int kill = 1; kill <= 3; ++kill) {
    in_child([&] {
      SyntheticEngine again(GetParam().hands);
      std::atomic<int> legs{0};
      again.before_leg = [&](std::uint64_t, int) {
        if (++legs == 2 * kill) raise(SIGKILL);
      };
      go(directory, again);
      return 0;
    });
  }
  SyntheticEngine last(GetParam().hands);
  EXPECT_TRUE(go(directory, last).complete);
  EXPECT_EQ(table(directory), table(run_));
  EXPECT_EQ(best(directory), best(run_));
}

const std::vector<std::uint64_t> kFour{1, 2, 3, 4};

INSTANTIATE_TEST_SUITE_P(
    Strategies, SessionResumeTest,
    ::testing::Values(
        Case{"best_of_n", [] { return best_of_n({.seeds = {1, 2, 3}}); }},
        Case{"best_of_n_one_after_the_other", [] { return best_of_n({.seeds = {1, 2, 3}}); },
             Hands::kAtATime},
        Case{"halving", [] { return halving({.seeds = kFour, .steps = 20}); }},
        Case{"halving_in_threads", [] { return halving({.seeds = kFour, .steps = 20}); },
             Hands::kMany},
        Case{"halving_with_lag",
             [] { return halving({.seeds = kFour, .steps = 20, .rungs = {3, 9}, .lag = 4}); }},
        Case{"halving_with_failures",
             [] { return halving({.seeds = kFour, .steps = 20}); },
             Hands::kOne,
             {{1, 2}, {3, 8}}},
        Case{"halving_with_lag_and_failures",
             [] { return halving({.seeds = kFour, .steps = 20, .rungs = {3, 9}, .lag = 4}); },
             Hands::kOne,
             {{1, 5}, {3, 11}}},
        Case{"halving_out_of_budget",
             [] { return halving({.seeds = kFour, .steps = 20}); },
             Hands::kOne,
             {},
             50},
        Case{"race", [] { return race({.seeds = kFour, .steps = 20, .lag = 1, .warm_up = 1}); },
             Hands::kAtATime},
        Case{"race_out_of_budget",
             [] { return race({.seeds = kFour, .steps = 20, .warm_up = 1}); },
             Hands::kAtATime,
             {},
             90},
        Case{"cascade",
             [] { return cascade({.seeds = {1, 2, 3}, .keep = {2}}); },
             Hands::kOne,
             {},
             0,
             2},
        Case{"resampling", [] { return std::make_unique<testing::Pairs>(); }}),
    [](const auto& info) { return info.param.name; });

class SessionMismatchTest : public testing::SessionFixture {};

// A run goes on only with what made it: anything that changes a result is named.
TEST_F(SessionMismatchTest, AnotherCommandIsRefused) {
  const auto code = [&](std::vector<std::uint64_t> seeds, const std::string& engine_id,
                        std::function<void(SessionOptions&)> change) {
    SyntheticEngine engine;
    engine.what.id = engine_id;
    return code_of(
        [&] { run(run_, engine, best_of_n({.seeds = std::move(seeds)}), std::move(change)); });
  };
  EXPECT_EQ(code({1, 2}, "synthetic/1", {}), "");
  EXPECT_EQ(code({1, 2}, "synthetic/1", {}), "") << "the same goes on";
  EXPECT_EQ(code({1, 3}, "synthetic/1", {}), "run_mismatch");
  EXPECT_EQ(code({1, 2}, "synthetic/2", {}), "run_mismatch");
  const auto with = [](auto change) {
    return std::function<void(SessionOptions&)>([change](SessionOptions& o) { change(o); });
  };
  EXPECT_EQ(code({1, 2}, "synthetic/1", with([](auto& o) { o.condition.negative = "x"; })),
            "run_mismatch");
  EXPECT_EQ(code({1, 2}, "synthetic/1", with([](auto& o) { o.max_forwards = 400; })),
            "run_mismatch");
  EXPECT_EQ(code({1, 2}, "synthetic/1", with([](auto& o) { o.settings.threads = 9; })),
            "run_mismatch");
}

// What is made again must be what was recorded: an engine that makes something else is found out.
TEST_F(SessionMismatchTest, AnEngineThatMakesSomethingElseIsFoundOut) {
  const auto preview_of = [&](double offset) {
    SyntheticEngine engine;
    engine.preview = [offset](std::uint64_t, double quality, int) { return quality + offset; };
    return engine.preview;
  };
  const auto strategy = [] { return halving({.seeds = {1, 2}, .steps = 20, .rungs = {5}}); };
  SyntheticEngine engine;
  engine.preview = preview_of(0);
  run(run_, engine, strategy());
  std::vector<Event> events = RunStore::open_read_only(run_).events();
  // Judge and writer work at the same time: here the writer was first, and then it was killed.
  std::erase_if(events, [](const Event& event) { return event.kind == "preview_judged"; });
  const auto seen = std::find_if(events.begin(), events.end(),
                                 [](const Event& event) { return event.kind == "previewed"; });
  ASSERT_NE(seen, events.end());
  RunStore::create(run_ + "0").append(std::vector<Event>(events.begin(), seen + 1));
  SyntheticEngine other;
  other.preview = preview_of(0.5);
  EXPECT_EQ(code_of([&] { run(run_ + "0", other, strategy()); }), "run_mismatch");
}

}  // namespace
}  // namespace bestreel
