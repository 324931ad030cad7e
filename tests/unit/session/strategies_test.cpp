#include <numeric>

#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::Hands;
using testing::quality_of;
using testing::SyntheticEngine;

class StrategiesTest : public testing::SessionFixture {};

// The example of search.md's section 1.2, computed by hand: 16 candidates, 50 steps, 240 of 800.
TEST_F(StrategiesTest, HalvingsForwardsAreTheSumOverItsRungs) {
  const HalvingPlan plan =
      halving_plan({.seeds = consecutive_seeds(0, 16), .steps = 50, .rungs = {8, 14, 20, 30}});
  EXPECT_EQ(plan.alive, (std::vector<std::size_t>{16, 8, 4, 2, 1}));
  EXPECT_EQ(plan.forwards(1), 16 * 8 + 8 * 6 + 4 * 6 + 2 * 10 + 1 * 20);
  EXPECT_EQ(plan.forwards(2), 480);
  const HalvingPlan late = halving_plan(
      {.seeds = consecutive_seeds(0, 16), .steps = 50, .rungs = {8, 14, 20, 30}, .lag = 2});
  EXPECT_EQ(late.forwards(1), 16 * 10 + 8 * 6 + 4 * 6 + 2 * 10 + 1 * 18);
}

// What is planned is what runs and what is charged.
TEST_F(StrategiesTest, HalvingRunsItsPlan) {
  int runs = 0;
  for (const std::size_t n : {1u, 2u, 5u, 8u}) {
    for (const double eta : {2.0, 3.0}) {
      for (const int lag : {0, 2}) {
        const HalvingOptions options{
            .seeds = consecutive_seeds(1, n), .steps = 20, .eta = eta, .lag = lag};
        SyntheticEngine engine;
        const RunView view = run(run_ + std::to_string(runs++), engine, halving(options)).view;
        EXPECT_EQ(engine.forwards, halving_plan(options).forwards(2));
        EXPECT_EQ(view.ledger.forwards, engine.forwards);
        EXPECT_EQ(winning_noise(view), Noise::seed(best_seed(options.seeds)).text())
            << "honest previews lead to the best";
      }
    }
  }
}

// The default plan for eight of twenty steps is under half of best-of-8.
TEST_F(StrategiesTest, HalvingByDefaultIsUnderHalfOfBestOfN) {
  const HalvingPlan plan = halving_plan({.seeds = consecutive_seeds(0, 8), .steps = 20});
  EXPECT_EQ(plan.rungs, (std::vector<int>{6, 9, 12}));
  EXPECT_EQ(plan.alive, (std::vector<std::size_t>{8, 4, 2, 1}));
  EXPECT_LE(plan.forwards(2), 0.5 * 8 * 20 * 2);
}

// At each rung the better ones stay: who misleads at the rung is dropped, whatever its end would
// be.
TEST_F(StrategiesTest, HalvingDropsByTheRungsPreviews) {
  SyntheticEngine engine;
  const std::vector<std::uint64_t> seeds = consecutive_seeds(1, 4);
  const std::uint64_t best = best_seed(seeds);
  engine.preview = [&](std::uint64_t seed, double quality, int step) {
    return seed == best && step == 5 ? 0.5 : quality;
  };
  const RunView view =
      run(run_, engine, halving({.seeds = seeds, .steps = 20, .rungs = {5, 10}})).view;
  const TrajectoryRecord& dropped = trajectory(view, static_cast<CandidateId>(best - 1));
  EXPECT_EQ(dropped.end, TrajectoryRecord::End::kDropped);
  EXPECT_EQ(dropped.step, 5);
  EXPECT_EQ(std::get<Judgement>(*dropped.previews.at(0).result).reward, 0.5);
  EXPECT_NE(winning_noise(view), Noise::seed(best).text());
}

// A failure makes room for the next best, and a preview nobody could judge comes last.
TEST_F(StrategiesTest, HalvingFillsUpAfterFailures) {
  SyntheticEngine engine;
  std::vector<std::uint64_t> seeds = consecutive_seeds(1, 4);
  std::sort(seeds.begin(), seeds.end(),
            [](std::uint64_t a, std::uint64_t b) { return quality_of(a) > quality_of(b); });
  engine.breaks = {{seeds[0], 2}};
  engine.unshowable = {seeds[1]};
  const RunView view =
      run(run_, engine, halving({.seeds = seeds, .steps = 20, .finalists = 2, .rungs = {5}})).view;
  EXPECT_EQ(trajectory(view, 1).end, TrajectoryRecord::End::kDropped);
  EXPECT_EQ(trajectory(view, 2).end, TrajectoryRecord::End::kFinished);
  EXPECT_EQ(trajectory(view, 3).end, TrajectoryRecord::End::kFinished);
  EXPECT_EQ(view.winner, "c002");
}

// Options that cannot be meant are refused, with the rule.
TEST_F(StrategiesTest, OptionsAreChecked) {
  const std::vector<std::uint64_t> four = consecutive_seeds(1, 4);
  EXPECT_THROW(best_of_n({}), UsageError);
  EXPECT_THROW(best_of_n({.seeds = {3, 4, 3}}), UsageError);
  EXPECT_THROW(halving({.seeds = {}, .steps = 20}), UsageError);
  EXPECT_THROW(halving({.seeds = four, .steps = 20, .eta = 1}), UsageError);
  EXPECT_THROW(halving({.seeds = four, .steps = 20, .eta = 1.1}), UsageError);
  EXPECT_THROW(halving({.seeds = four, .steps = 20, .finalists = 5}), UsageError);
  EXPECT_THROW(halving({.seeds = four, .steps = 20, .rungs = {9, 5}}), UsageError);
  EXPECT_THROW(halving({.seeds = four, .steps = 20, .rungs = {5, 20}}), UsageError);
  EXPECT_THROW(halving({.seeds = four, .steps = 20, .rungs = {5, 8}, .lag = 3}), UsageError);
  EXPECT_THROW(halving({.seeds = consecutive_seeds(0, 64), .steps = 6}), UsageError);
  EXPECT_THROW(race({.seeds = four, .steps = 20, .warm_up = 0}), UsageError);
  EXPECT_THROW(race({.seeds = four, .steps = 20, .checks = {0}}), UsageError);
  EXPECT_THROW(race({.seeds = four, .steps = 20, .lag = -1}), UsageError);
  EXPECT_THROW(cascade({.seeds = four, .keep = {0}}), UsageError);
  EXPECT_THROW(cascade({.seeds = {}, .keep = {1}}), UsageError);
  EXPECT_THROW(best_of_n({.seeds = four, .files = true}), UsageError);
}

// The median stopping rule by hand: averages so far against the best so far, per check.
TEST_F(StrategiesTest, RaceStopsWhoIsBehindTheMedian) {
  // Previews of seeds 1..5 at steps 4 and 8.
  const std::map<std::uint64_t, std::pair<double, double>> shown{
      {1, {2, 4}},      // completed (warm-up)
      {2, {3, 3}},      // completed (warm-up)
      {3, {2.4, 5}},    // 2.4 < median(2, 3) = 2.5 at step 4: stopped
      {4, {2.6, 2.9}},  // 2.6 > 2.5; best 2.9 < median(3, 3) = 3 at step 8: stopped
      {5, {2.5, 3}},    // 2.5 is not below 2.5, 3 is not below 3: completed
  };
  const auto options = [] {
    return RaceOptions{.seeds = consecutive_seeds(1, 5), .steps = 20, .checks = {4, 8}};
  };
  std::string tables[3];
  int runs = 0;
  for (const Hands hands : {Hands::kAtATime, Hands::kOne, Hands::kMany}) {
    SyntheticEngine engine(hands);
    engine.preview = [&](std::uint64_t seed, double, int step) {
      return step == 4 ? shown.at(seed).first : shown.at(seed).second;
    };
    const std::string directory = run_ + std::to_string(runs);
    const RunView view = run(directory, engine, race(options())).view;
    EXPECT_EQ(trajectory(view, 2).step, 4);
    EXPECT_EQ(trajectory(view, 3).step, 8);
    EXPECT_EQ(trajectory(view, 4).end, TrajectoryRecord::End::kFinished);
    EXPECT_EQ(engine.forwards, 2 * (20 + 20 + 4 + 8 + 20));
    EXPECT_EQ(winning_noise(view), Noise::seed(best_seed({1, 2, 5})).text());
    tables[runs++] = table(directory);
  }
  EXPECT_EQ(tables[0], tables[1]) << "the same race on every kind of engine";
  EXPECT_EQ(tables[0], tables[2]);
}

// Who fails before its first check is no warm-up: with two broken ones of five, the third good one
// is the first that can be stopped.
TEST_F(StrategiesTest, RaceDoesNotCountWhoFailed) {
  SyntheticEngine engine;
  engine.breaks = {{1, 2}, {2, 2}};
  engine.preview = [](std::uint64_t seed, double, int) { return 10.0 - static_cast<double>(seed); };
  const RunView view =
      run(run_, engine, race({.seeds = consecutive_seeds(1, 5), .steps = 20, .checks = {4}})).view;
  EXPECT_EQ(trajectory(view, 2).end, TrajectoryRecord::End::kFinished);
  EXPECT_EQ(trajectory(view, 3).end, TrajectoryRecord::End::kFinished);
  EXPECT_EQ(trajectory(view, 4).end, TrajectoryRecord::End::kDropped);
}

// The dear judge sees the best k of the cheap judge, no others, and has the last word.
TEST_F(StrategiesTest, RerankAsksTheDearJudgeForTheBestFew) {
  std::mutex mutex;
  std::vector<double> seen;
  const auto dear = std::make_shared<testing::FakeJudge>(
      [&](std::span<const Request> requests, const std::stop_token&) {
        std::vector<Result> results;
        for (const Request& request : requests) {
          const std::scoped_lock lock(mutex);
          seen.push_back(request.video->info().fps.value());
          results.push_back(testing::judgement(1 - seen.back() / 10));  // of another opinion
        }
        return results;
      });
  std::vector<std::uint64_t> seeds = consecutive_seeds(1, 5);
  SyntheticEngine engine;
  const RunView view =
      run(run_, engine, cascade({.seeds = seeds, .keep = {2}}), {}, {testing::rate_judge(), dear})
          .view;
  std::sort(seeds.begin(), seeds.end(),
            [](std::uint64_t a, std::uint64_t b) { return quality_of(a) > quality_of(b); });
  std::sort(seen.rbegin(), seen.rend());
  EXPECT_EQ(seen, (std::vector<double>{quality_of(seeds[0]), quality_of(seeds[1])}));
  EXPECT_EQ(winning_noise(view), Noise::seed(seeds[1]).text());
  EXPECT_EQ(engine.forwards, 5 * 40) << "a review makes nothing again";
  ASSERT_EQ(view.candidates.size(), 5u);
  EXPECT_EQ(view.candidates[1].rank, 2);
  EXPECT_FALSE(view.candidates[2].results.at(1).has_value());
  EXPECT_EQ(view.candidates[2].rank, 3) << "the others follow by the cheap judge";
  // Whose word each reward is goes with it, and the dear judge's come first, however low they are.
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(view.candidates[i].decided_by, i < 2 ? 1u : 0u);
  EXPECT_LT(*view.candidates[1].reward, *view.candidates[2].reward);
}

// Several judges: what they agree on, by the selection that was chosen.
TEST_F(StrategiesTest, BestOfNCombinesJudges) {
  const auto judge = [](double sign) {
    return std::make_shared<testing::FakeJudge>(
        [sign](std::span<const Request> requests, const std::stop_token&) {
          std::vector<Result> results;
          for (const Request& request : requests) {
            results.push_back(testing::judgement(sign * request.video->info().fps.value()));
          }
          return results;
        });
  };
  const std::vector<std::uint64_t> seeds = consecutive_seeds(1, 4);
  SyntheticEngine engine;
  const auto winner = [&](const std::string& directory, std::vector<double> weights) {
    return winning_noise(
        run(directory, engine,
            best_of_n({.seeds = seeds, .selection = {Combination::kWeights, std::move(weights)}}),
            {}, {judge(1), judge(-1)})
            .view);
  };
  EXPECT_EQ(winner(run_ + "0", {2, 1}), Noise::seed(best_seed(seeds)).text());
  const std::uint64_t worst = *std::min_element(
      seeds.begin(), seeds.end(),
      [](std::uint64_t a, std::uint64_t b) { return quality_of(a) < quality_of(b); });
  EXPECT_EQ(winner(run_ + "1", {1, 2}), Noise::seed(worst).text());
}

}  // namespace
}  // namespace bestreel
