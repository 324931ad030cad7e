#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::Hands;
using testing::SyntheticEngine;

class SessionBudgetTest : public testing::SessionFixture {
 protected:
  static auto limit(double forwards) {
    return [forwards](SessionOptions& options) { options.max_forwards = forwards; };
  }
  static std::size_t ended(const RunView& view, TrajectoryRecord::End end) {
    return static_cast<std::size_t>(
        std::count_if(view.trajectories.begin(), view.trajectories.end(),
                      [&](const TrajectoryRecord& trajectory) { return trajectory.end == end; }));
  }
};

// A budget for two and a half of four candidates makes two whole ones and selects among them.
TEST_F(SessionBudgetTest, BestOfNStopsWithTheBestSoFar) {
  for (const Hands hands : {Hands::kOne, Hands::kAtATime}) {
    const std::string directory = run_ + std::to_string(static_cast<int>(hands));
    SyntheticEngine engine(hands);
    const Outcome outcome =
        run(directory, engine, best_of_n({.seeds = consecutive_seeds(1, 4)}), limit(100));
    EXPECT_TRUE(outcome.complete);
    EXPECT_EQ(engine.forwards, 80);
    EXPECT_EQ(outcome.view.ledger.forwards, 80);
    EXPECT_EQ(winning_noise(outcome.view), Noise::seed(best_seed({1, 2})).text());
    EXPECT_EQ(ended(outcome.view, TrajectoryRecord::End::kStopped), 2u);
    EXPECT_NE(trajectory(outcome.view, 3).reason.find("max-forwards"), std::string::npos);
  }
}

// No budget that pays for one candidate leaves a halving without a winner, and none is overspent.
TEST_F(SessionBudgetTest, HalvingKeepsBackWhatItsLeaderNeeds) {
  for (double forwards = 40; forwards <= 140; forwards += 7) {
    const std::string directory = run_ + std::to_string(forwards);
    SyntheticEngine engine;
    const Outcome outcome =
        run(directory, engine, halving({.seeds = consecutive_seeds(1, 8), .steps = 20}),
            limit(forwards));
    EXPECT_FALSE(outcome.view.winner.empty()) << forwards;
    EXPECT_LE(engine.forwards, forwards);
    EXPECT_EQ(outcome.view.ledger.forwards, engine.forwards);
  }
}

// Threads that ask at once do not get more than there is.
TEST_F(SessionBudgetTest, ThreadsDoNotOverspend) {
  for (std::uint64_t chance = 0; chance < 4; ++chance) {
    SyntheticEngine engine(Hands::kMany);
    engine.chance = chance;
    const Outcome outcome = run(run_ + std::to_string(chance), engine,
                                best_of_n({.seeds = consecutive_seeds(1, 6)}), limit(130));
    EXPECT_LE(engine.forwards, 130);
    EXPECT_FALSE(outcome.view.winner.empty());
  }
}

// A wave's opening decides for all by what they may cost: of four that would begin, three do, and
// the order in which they then ask changes nothing.
TEST_F(SessionBudgetTest, IsDecidedWhereAWaveOpens) {
  SyntheticEngine engine;
  SessionOptions options = options_for(run_);
  options.max_forwards = 130;
  Session session(run_, engine.what, best_of_n({.seeds = {1, 2, 3, 4}}), {testing::rate_judge()},
                  options);
  const std::vector<Start> wave = session.next_wave();
  ASSERT_EQ(wave.size(), 3u);
  for (const CandidateId id : {2, 0, 1}) EXPECT_TRUE(session.request_steps(id, 0, 20));
  EXPECT_EQ(wave.back().id, 2);
}

// A race that has spent its budget asks for nobody else.
TEST_F(SessionBudgetTest, RaceEndsWithItsBudget) {
  SyntheticEngine engine(Hands::kAtATime);
  const Outcome outcome =
      run(run_, engine, race({.seeds = consecutive_seeds(1, 8), .steps = 20}), limit(100));
  EXPECT_TRUE(outcome.complete);
  EXPECT_LE(engine.forwards, 100);
  EXPECT_LT(outcome.view.trajectories.size(), 8u);
  EXPECT_EQ(ended(outcome.view, TrajectoryRecord::End::kStopped), 1u);
  EXPECT_FALSE(outcome.view.winner.empty());
}

// Time that is over before the first leg still leaves one candidate, the leader.
TEST_F(SessionBudgetTest, SecondsFinishTheLeader) {
  SyntheticEngine engine;
  const Outcome outcome = run(run_, engine, best_of_n({.seeds = consecutive_seeds(1, 4)}),
                              [](SessionOptions& options) { options.max_seconds = 1e-9; });
  EXPECT_TRUE(outcome.complete);
  EXPECT_EQ(outcome.view.winner, "c000");
  EXPECT_EQ(engine.forwards, 40);
  EXPECT_NE(trajectory(outcome.view, 1).reason.find("max-seconds"), std::string::npos);
}

// Limits that pay for nobody are refused.
TEST_F(SessionBudgetTest, ImpossibleLimitsAreRefused) {
  SyntheticEngine engine;
  EXPECT_THROW(run(run_, engine, best_of_n({.seeds = {1}}), limit(39)), UsageError);
  EXPECT_THROW(run(run_, engine, best_of_n({.seeds = {1}}), limit(-1)), UsageError);
  EXPECT_THROW(run(run_, engine, best_of_n({.seeds = {1}}),
                   [](SessionOptions& options) { options.max_seconds = -1; }),
               UsageError);
  EXPECT_FALSE(std::filesystem::exists(run_));
}

// Every unit of the ledger is charged from what was reported.
TEST_F(SessionBudgetTest, TheLedgerChargesEveryUnit) {
  const auto judge = std::make_shared<testing::FakeJudge>(
      [](std::span<const Request> requests, const std::stop_token&) {
        Judgement judgement = testing::judgement(3);
        judgement.seconds = 2;
        judgement.transcript = Transcript{};
        judgement.transcript->prompt_tokens = {1, 2, 3};
        judgement.transcript->output_tokens = {4, 5};
        return std::vector<Result>(requests.size(), judgement);
      });
  SyntheticEngine engine;
  const CostTotals ledger =
      run(run_, engine, halving({.seeds = {1, 2}, .steps = 20, .rungs = {5}}), {}, {judge})
          .view.ledger;
  EXPECT_EQ(ledger.forwards, 2 * (5 + 20));
  EXPECT_EQ(ledger.previews, 2);
  EXPECT_EQ(ledger.decodes, 1);
  EXPECT_EQ(ledger.judgements, 3);
  EXPECT_EQ(ledger.prefill_tokens, 9);
  EXPECT_EQ(ledger.decode_tokens, 6);
  EXPECT_EQ(ledger.denoise_seconds, 1.5);
  EXPECT_EQ(ledger.preview_seconds, 0.25);
  EXPECT_EQ(ledger.decode_seconds, 0.25);
  EXPECT_EQ(ledger.judge_seconds, 6);
  EXPECT_EQ(ledger.peak_bytes, 1001);
  EXPECT_EQ(ledger.redone_forwards, 0);
  EXPECT_GT(ledger.hidden_share(), 0.5) << "a judge that claims 6 s made nobody wait for them";
  EXPECT_EQ((CostTotals{.judge_seconds = 4, .waited_seconds = 1}).hidden_share(), 0.75);
  EXPECT_EQ((CostTotals{.judge_seconds = 4, .waited_seconds = 9}).hidden_share(), 0);
}

}  // namespace
}  // namespace bestreel
