// What a strategy may ask beyond waves and barriers, several engines on one session, and what the
// machine does to both.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "plugin/replay.h"
#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::Hands;
using testing::quality_of;
using testing::SyntheticEngine;

/// Asks what the script says, wave by wave; goes on with all at barriers, or as `answer` says.
class Scripted final : public Strategy {
 public:
  explicit Scripted(std::vector<Ask> script) : script_(std::move(script)) {}

  const std::string& id() const override { return id_; }
  const Needs& needs() const override { return needs_; }
  Ask ask() override { return next_ < script_.size() && ready() ? script_[next_++] : Ask{}; }
  Answer tell(const Barrier& barrier) override { return answer(barrier); }
  void tell(const Finished& finished) override {
    finished_.push_back(finished);
    told_.push_back("finished " + candidate_name(finished.id));
  }
  void tell(const Judged& judged) override {
    judged_.push_back(judged);
    told_.push_back("judged " + std::to_string(judged.index));
  }
  void tell(const Arrived& arrived) override {
    told_.push_back("arrived " + arrived.label);
    const auto id = static_cast<CandidateId>(files_++);
    script_.push_back({.starts = {{.id = id, .label = arrived.label}}});
  }
  std::vector<Ranked> ranking() const override { return best_first(finished_, {}); }

  std::function<Answer(const Barrier&)> answer = [](const Barrier& barrier) {
    Answer all;
    for (const auto& each : barrier.candidates) all.assignments.push_back({each.id, each.id, 0});
    return all;
  };
  Needs needs_{.scheduling = Scheduling::kLockstep, .judgements = true};
  std::vector<Judged> judged_;
  std::vector<std::string> told_;

 private:
  /// What begins from others, or judges them, is asked when those are told.
  bool ready() const { return next_ == 0 || !told_.empty(); }

  const std::string id_ = "scripted(1)";
  std::vector<Ask> script_;
  std::size_t next_ = 0, files_ = 0;
  std::vector<Finished> finished_;
};

/// The reward of a candidate is its place among its group, by frame rate; it fails below `least`.
class PlaceJudge final : public Judge {
 public:
  explicit PlaceJudge(double least = 0) : least_(least) {
    info_.id = info_.name = "place/1";
    info_.groupwise = true;
  }
  const JudgeInfo& info() const override { return info_; }
  std::vector<Result> judge_group(std::span<const Request> group, std::stop_token) override {
    ++groups;
    std::vector<Result> results;
    for (const Request& each : group) {
      const double rate = each.video->info().fps.value();
      double below = 0;
      for (const Request& other : group) below += other.video->info().fps.value() < rate ? 1 : 0;
      results.push_back(rate < least_ ? Result(Failure{"judge_odd", "[place] no"})
                                      : Result(testing::judgement(below)));
    }
    return results;
  }
  std::atomic<int> groups{0};

 private:
  const double least_;
  JudgeInfo info_;
};

class SessionProtocolTest : public testing::SessionFixture {
 protected:
  static std::vector<NewTrajectory> seeds(std::size_t n) {
    std::vector<NewTrajectory> starts;
    for (std::size_t i = 0; i < n; ++i) {
      starts.push_back({static_cast<CandidateId>(i), Noise::seed(i + 1)});
    }
    return starts;
  }

  std::string refusal(std::vector<Ask> script, SyntheticEngine& engine,
                      std::function<Answer(const Barrier&)> answer = {}) {
    auto strategy = std::make_unique<Scripted>(std::move(script));
    if (answer) strategy->answer = answer;
    static int runs = 0;
    try {
      run(run_ + "r" + std::to_string(runs++), engine, std::move(strategy));
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
};

// Four engines in threads of their own make the same events as one, with barriers and without.
TEST_F(SessionProtocolTest, SeveralEnginesShareOneSession) {
  const auto strategy = [](int kind) -> StrategyPtr {
    if (kind == 0) return best_of_n({.seeds = consecutive_seeds(1, 9)});
    if (kind == 1) return halving({.seeds = consecutive_seeds(1, 9), .steps = 20, .lag = 1});
    return std::make_unique<testing::Pairs>();
  };
  for (int kind = 0; kind < 3; ++kind) {
    const std::string one = run_ + "one" + std::to_string(kind), four = one + "four";
    SyntheticEngine alone;
    const RunView expected = run(one, alone, strategy(kind)).view;
    std::vector<std::unique_ptr<SyntheticEngine>> engines;
    std::vector<Engine*> all;
    for (int i = 0; i < 4; ++i) {
      engines.push_back(std::make_unique<SyntheticEngine>());
      engines.back()->breaks = {};
      all.push_back(engines.back().get());
    }
    SessionOptions options = options_for(four);
    options.settings.judges = {"fake/1"};
    Session session(four, alone.capabilities(), strategy(kind), {testing::rate_judge()}, options);
    const Outcome outcome = session.run(all);
    EXPECT_TRUE(outcome.complete);
    EXPECT_EQ(outcome.view.winner, expected.winner);
    EXPECT_EQ(table(four), table(one)) << kind;
    int working = 0;
    for (const auto& engine : engines) working += engine->forwards > 0 ? 1 : 0;
    EXPECT_EQ(working, 4);
  }
}

// A failure in one thread lets the others through the barrier.
TEST_F(SessionProtocolTest, AFailureReleasesWhoWaits) {
  std::vector<std::unique_ptr<SyntheticEngine>> engines;
  std::vector<Engine*> all;
  for (int i = 0; i < 4; ++i) {
    engines.push_back(std::make_unique<SyntheticEngine>());
    engines.back()->breaks = {{2, 3}};
    all.push_back(engines.back().get());
  }
  Session session(run_, engines[0]->capabilities(),
                  halving({.seeds = {1, 2, 3, 4}, .steps = 20, .rungs = {5}}),
                  {testing::rate_judge()}, options_for(run_));
  const Outcome outcome = session.run(all);
  EXPECT_TRUE(outcome.complete);
  EXPECT_EQ(trajectory(outcome.view, 1).end, TrajectoryRecord::End::kFailed);
}

// New ids at a barrier, and what begins at a state that was come to: their noise is new, what is
// made again is said to be done again, and each is replayed from its text.
TEST_F(SessionProtocolTest, TrajectoriesBranch) {
  const auto script = [] {
    const State middle = State::at(Noise::seed(1), 5);
    return std::vector<Ask>{
        {.starts = seeds(2), .barriers = {5}},
        {.starts = {{10, State::fork(middle, 3)}, {11, State::fork(middle, 4)}}},
        {.starts = {{12, State::renoise(middle, 2, 9)}}}};
  };
  const auto strategy = [&] {
    auto made = std::make_unique<Scripted>(script());
    made->needs_ = {.scheduling = Scheduling::kLockstep,
                    .previews = true,
                    .branching = true,
                    .stochastic = true,
                    .renoise = true};
    made->answer = [](const Barrier&) { return Answer{{{0, 0, 0}, {5, 0, 77}, {6, 0, 78}}}; };
    return made;
  };
  SyntheticEngine engine;
  const RunView view = run(run_, engine, strategy()).view;
  std::map<std::string, std::string> states;
  for (const TrajectoryRecord& each : view.trajectories) states[each.id] = each.state;
  EXPECT_EQ(states.at("c005"), "fork(at(seed(1),5),77)");
  EXPECT_EQ(states.at("c010"), "fork(at(seed(1),5),3)");
  EXPECT_EQ(states.at("c012"), "renoise(at(seed(1),5),2,9)");
  EXPECT_EQ(view.candidates.size(), 6u) << "c001 was dropped";
  EXPECT_EQ(view.ledger.forwards, 2 * (5 + 5 + 3 * 15 + 2 * 15 + 18)) << "each step once";
  EXPECT_GT(view.ledger.redone_forwards, 0) << "states that were not kept";
  for (const Candidate& candidate : view.candidates) {
    SyntheticEngine other(Hands::kAtATime);
    const Replayed replayed = replay(run_, std::stoll(candidate.id.substr(1)), other, view.settings,
                                     options_for(run_ + "again").keep);
    EXPECT_TRUE(replayed.equal) << candidate.id;
  }
  // Killed after any event it ends the same.
  const std::vector<Event> events = RunStore::open_read_only(run_).events();
  for (std::size_t kept = 1; kept < events.size(); kept += 3) {
    const std::string directory = run_ + "k" + std::to_string(kept);
    RunStore::create(directory).append(
        std::vector<Event>(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(kept)));
    SyntheticEngine resumed;
    run(directory, resumed, strategy());
    EXPECT_EQ(table(directory), table(run_)) << kept;
  }
}

// One video is never made twice, and nothing begins where nobody has come to.
TEST_F(SessionProtocolTest, TwinsAreRefused) {
  SyntheticEngine engine;
  const Answer copy{{{0, 0, 0}, {1, 0, 7}}};
  const auto answer = [&](const Barrier&) { return copy; };
  EXPECT_EQ(refusal({{.starts = seeds(2), .barriers = {5}}}, engine, answer), "");
  EXPECT_NE(refusal({{.starts = {{0, Noise::seed(1)}, {1, Noise::seed(1)}}}}, engine)
                .find("one video twice"),
            std::string::npos);
  EXPECT_NE(refusal({{.starts = {{0, State::at(Noise::seed(1), 5)}}}}, engine)
                .find("where no candidate has come to"),
            std::string::npos);
  EXPECT_NE(
      refusal({{.starts = seeds(1)}, {.starts = {{9, State::at(Noise::seed(1), 20)}}}}, engine)
          .find("begins at the end"),
      std::string::npos);
  engine.what.stochastic_until = 5;
  const std::string refused = refusal({{.starts = seeds(2), .barriers = {5}}}, engine, answer);
  EXPECT_NE(refused.find("would become one video"), std::string::npos) << refused;
  EXPECT_NE(refused.find("--stochastic"), std::string::npos) << refused;
  engine.what.drafts = false;
  EXPECT_NE(refusal({{.starts = {{0, Noise::seed(1), true}}}}, engine).find("makes no drafts"),
            std::string::npos);
}

// What an engine lacks is named with what would provide it.
TEST_F(SessionProtocolTest, NeedsNameTheFlag) {
  const auto sentence = [&](Needs needs, std::vector<JudgePtr> judges) {
    auto strategy = std::make_unique<Scripted>(std::vector<Ask>{{.starts = seeds(1)}});
    strategy->needs_ = needs;
    SyntheticEngine engine;
    engine.what.stochastic_until = 0;
    engine.what.renoise = engine.what.drafts = engine.what.lookahead = false;
    try {
      run(run_, engine, std::move(strategy), {}, std::move(judges));
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto one = testing::rate_judge();
  const auto group = std::make_shared<PlaceJudge>();
  EXPECT_NE(sentence({.stochastic = true}, {one}).find("--stochastic flow-sde"), std::string::npos);
  EXPECT_NE(sentence({.renoise = true}, {one}).find("earlier step"), std::string::npos);
  EXPECT_NE(sentence({.drafts = true}, {one}).find("drafts"), std::string::npos);
  EXPECT_NE(sentence({.lookahead = true}, {one}).find("looks ahead"), std::string::npos);
  EXPECT_NE(sentence({.groupwise = true}, {one}).find("compares candidates"), std::string::npos);
  EXPECT_NE(sentence({}, {one, group}).find("place/1 compares candidates"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(run_));
}

// A groupwise judge sees the candidates together, in the order that was asked for; killed anywhere,
// the group is judged as a whole.
TEST_F(SessionProtocolTest, AGroupIsJudgedTogether) {
  const auto script = [](std::vector<CandidateId> order) {
    return std::vector<Ask>{{.starts = seeds(3)}, {.judgements = {{1, std::move(order)}}}};
  };
  const auto go = [&](const std::string& directory, const std::shared_ptr<PlaceJudge>& judge,
                      std::vector<Judged>* judged) {
    auto strategy = std::make_unique<Scripted>(script({2, 0, 1}));
    strategy->needs_ = {.groupwise = true, .judgements = true};
    Scripted* raw = strategy.get();
    SyntheticEngine engine;
    SessionOptions options = options_for(directory);
    options.settings.judges = {"fake/1", "place/1"};
    Session session(directory, engine.capabilities(), std::move(strategy),
                    {testing::rate_judge(), judge}, options);
    const Outcome outcome = session.run(engine);
    *judged = raw->judged_;
    return outcome;
  };
  const auto judge = std::make_shared<PlaceJudge>();
  std::vector<Judged> judged;
  const Outcome whole = go(run_, judge, &judged);
  ASSERT_EQ(judged.size(), 1u);
  EXPECT_EQ(judged[0].ids, (std::vector<CandidateId>{2, 0, 1}));
  std::vector<double> places;
  for (const Result& result : judged[0].results) {
    places.push_back(std::get<Judgement>(result).reward);
  }
  std::vector<double> expected;
  for (const std::uint64_t seed : {3, 1, 2}) {
    double below = 0;
    for (const std::uint64_t other : {1, 2, 3}) below += quality_of(other) < quality_of(seed);
    expected.push_back(below);
  }
  EXPECT_EQ(places, expected);
  EXPECT_EQ(judge->groups, 1);
  const std::vector<Event> events = RunStore::open_read_only(run_).events();
  for (std::size_t kept = 1; kept < events.size(); ++kept) {
    const std::string directory = run_ + std::to_string(kept);
    RunStore::create(directory).append(
        std::vector<Event>(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(kept)));
    go(directory, std::make_shared<PlaceJudge>(), &judged);
    EXPECT_EQ(table(directory), table(run_)) << kept;
  }
  // Who fails has its Failure; where fewer than two are left, all have.
  std::vector<double> rates{quality_of(1), quality_of(2), quality_of(3)};
  std::sort(rates.begin(), rates.end());
  for (const std::size_t failing : {1u, 2u}) {
    go(run_ + "f" + std::to_string(failing), std::make_shared<PlaceJudge>(rates[failing]), &judged);
    const auto failures = std::count_if(judged[0].results.begin(), judged[0].results.end(),
                                        [](const Result& result) { return failed(result); });
    EXPECT_EQ(failures, failing == 1 ? 1 : 3);
  }
}

// The machine gives out once: the candidate is made again and nobody is told. Twice: the run ends
// for now, nothing of it is recorded, and it can go on.
TEST_F(SessionProtocolTest, TheMachinesFailuresAreRetried) {
  const std::uint64_t best = best_seed({1, 2, 3});
  const auto strategy = [] { return halving({.seeds = {1, 2, 3}, .steps = 20, .rungs = {5, 9}}); };
  SyntheticEngine sound;
  run(run_, sound, strategy());
  for (const int times : {1, 2}) {
    const std::string directory = run_ + std::to_string(times);
    const auto attempt = [&](int fails) {
      SyntheticEngine inner;
      SessionOptions options = options_for(directory);
      Session session(directory, inner.capabilities(), strategy(), {testing::rate_judge()},
                      options);
      inner.before_leg = [best, left = fails](std::uint64_t seed, int from) mutable {
        if (seed == best && from == 5 && left-- > 0) {
          throw Error("out_of_memory", "run", "no memory");
        }
      };
      return session.run(inner);
    };
    if (times == 2) EXPECT_EQ(code_of([&] { attempt(2); }), "out_of_memory");
    EXPECT_TRUE(attempt(times == 1 ? 1 : 0).complete);
    EXPECT_EQ(table(directory), table(run_));
  }
}

// A judge that the machine failed judges once more; a writer writes once more.
TEST_F(SessionProtocolTest, JudgesAndWritersAreRetried) {
  for (const int fails : {1, 2}) {
    int left = fails;
    const auto judge = std::make_shared<testing::FakeJudge>([&](std::span<const Request> requests,
                                                                const std::stop_token&) {
      if (left-- > 0) {
        return std::vector<Result>(requests.size(), Failure{"out_of_memory", "[run] no memory"});
      }
      return std::vector<Result>(requests.size(), testing::judgement(2));
    });
    SyntheticEngine engine;
    EXPECT_EQ(code_of([&] {
                run(run_ + "j" + std::to_string(fails), engine, best_of_n({.seeds = {1}}), {},
                    {judge});
              }),
              fails == 1 ? "" : "out_of_memory");
    int full = fails;
    EXPECT_EQ(code_of([&] {
                run(run_ + "w" + std::to_string(fails), engine, best_of_n({.seeds = {1}}),
                    [&](SessionOptions& options) {
                      options.keep = [&full, keep = options.keep](const std::string& name,
                                                                  const VideoPtr& video) {
                        if (full-- > 0) throw Error("disk_full", "run", "no room");
                        return keep(name, video);
                      };
                    });
              }),
              fails == 1 ? "" : "disk_full");
  }
}

// A video goes to its judge while the writer is busy with it, and the session answers meanwhile.
TEST_F(SessionProtocolTest, JudgeFirstAndNobodyWaits) {
  std::mutex mutex;
  std::condition_variable changed;
  bool judged = false;
  const auto judge = std::make_shared<testing::FakeJudge>(
      [&](std::span<const Request> requests, const std::stop_token&) {
        const std::scoped_lock lock(mutex);
        judged = true;
        changed.notify_all();
        return std::vector<Result>(requests.size(), testing::judgement(3));
      });
  SyntheticEngine engine;
  Session* running = nullptr;
  SessionOptions options = options_for(run_);
  options.keep = [&, keep = options.keep](const std::string& name, const VideoPtr& video) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return judged; });  // would never be, were the writer first
    EXPECT_EQ(running->next_stop(0), 20) << "and nobody holds the lock";
    return keep(name, video);
  };
  Session session(run_, engine.capabilities(), best_of_n({.seeds = {1, 2}}), {judge}, options);
  running = &session;
  EXPECT_TRUE(session.run(engine).complete);
}

/// Hands finished files over.
class FileEngine final : public Engine {
 public:
  explicit FileEngine(std::string folder) : folder_(std::move(folder)) {
    what_.id = what_.name = "files";
    what_.steps = 0;
  }
  const EngineCapabilities& capabilities() const override { return what_; }
  void run(std::span<const Start> starts, SamplerCallback& callback) override {
    for (const Start& start : starts) {
      callback.finished(start.id, FileReference{folder_ + "/" + start.label, ""}, {});
    }
  }

 private:
  const std::string folder_;
  EngineCapabilities what_;
};

// Files arrive, are judged where they lie, and more may come; one that cannot be opened is a
// Failure. A resumed run tells them in the same places.
TEST_F(SessionProtocolTest, FinishedFilesArrive) {
  std::filesystem::create_directories(folder_ / "in");
  const std::string in = (folder_ / "in").string();
  for (const char* name : {"a.mp4", "b.mp4"}) write_file_atomically(in + "/" + name, "no video");
  const auto go = [&](bool late) {
    FileEngine engine(in);
    auto strategy = std::make_unique<Scripted>(std::vector<Ask>{});
    strategy->needs_ = {.files = true};
    Scripted* raw = strategy.get();
    Session session(run_, engine.capabilities(), std::move(strategy), {testing::rate_judge()},
                    options_for(run_));
    const auto drain = [&] {
      for (auto wave = session.next_wave(); !wave.empty(); wave = session.next_wave()) {
        engine.run(wave, session);
      }
    };
    session.arrived({{"a.mp4", in + "/a.mp4", ""}});
    drain();
    if (late) {
      session.arrived({{"a.mp4", in + "/a.mp4", ""}, {"b.mp4", in + "/b.mp4", ""}});
      drain();
    }
    const Outcome outcome = session.finish();
    EXPECT_TRUE(outcome.complete);
    return std::pair(raw->told_, outcome.view);
  };
  const auto [told, view] = go(true);
  EXPECT_EQ(told, (std::vector<std::string>{"arrived a.mp4", "finished c000", "arrived b.mp4",
                                            "finished c001"}));
  ASSERT_EQ(view.candidates.size(), 2u);
  EXPECT_EQ(view.candidates[0].id, "a.mp4");
  EXPECT_TRUE(failed(*view.candidates[0].results.at(0)));
  EXPECT_TRUE(view.trajectories.empty()) << "nothing was made";
  EXPECT_EQ(go(false).first, told) << "as they were recorded";
}

}  // namespace
}  // namespace bestreel
