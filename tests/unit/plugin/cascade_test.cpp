#include "plugin/strategies/cascade.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "fakes.h"
#include "plugin/runs/cascade_view.h"

namespace bestreel {
namespace {

using testing::judgement;

constexpr auto kNone = std::nullopt;

std::vector<std::size_t> order_of(const CascadeTable& table) {
  std::vector<std::size_t> order;
  for (const CascadePlace& place : table.order) order.push_back(place.candidate);
  return order;
}

// Whoever was judged further comes first, however high the cheap judge's number; failures keep the
// place that their last judge gave them.
TEST(Cascade, TheLastJudgeOutranksTheEarlier) {
  const CascadeRewards rewards{{9.0, 8.0, 9.5, kNone, 6.0}, {kNone, 1.0, 2.0, kNone, kNone}};
  const CascadeTable table = cascade_table(rewards, std::vector<int>{3});
  EXPECT_EQ(order_of(table), (std::vector<std::size_t>{2, 1, 0, 4}));
  EXPECT_EQ(table.order[2].judge, 0u);
}

// Survivors are the best of the judge before, ties by index; who failed there is not among them.
TEST(Cascade, SurvivorsAreTheBestOfTheJudgeBefore) {
  const std::vector<int> keep{3, 1};
  const CascadeRewards rewards{{1.0, 2.0, kNone, 2.0, 0.0},
                               {kNone, 5.0, kNone, 5.0, kNone},
                               {kNone, kNone, kNone, kNone, kNone}};
  const CascadeTable table = cascade_table(rewards, keep);
  EXPECT_EQ(table.survivors[0].size(), 5u);
  EXPECT_EQ(table.survivors[1], (std::vector<std::size_t>{1, 3, 0}));
  EXPECT_EQ(table.survivors[2], (std::vector<std::size_t>{1}));
}

// Somebody better has come since: the word of a judge who would not have seen it does not count,
// and the table is that of all at once.
TEST(Cascade, WhoSurvivesNoLongerIsPlacedByTheJudgeBefore) {
  const std::vector<int> keep{2};
  const CascadeRewards before{{5.0, 4.0}, {1.0, 9.0}};
  EXPECT_EQ(order_of(cascade_table(before, keep)), (std::vector<std::size_t>{1, 0}));
  const CascadeRewards after{{5.0, 4.0, 6.0}, {1.0, 9.0, 2.0}};
  const CascadeRewards at_once{{5.0, 4.0, 6.0}, {1.0, kNone, 2.0}};
  EXPECT_EQ(order_of(cascade_table(after, keep)), (std::vector<std::size_t>{2, 0, 1}));
  EXPECT_EQ(cascade_table(after, keep).order[2].judge, 0u);
  EXPECT_EQ(order_of(cascade_table(at_once, keep)), order_of(cascade_table(after, keep)));
}

// Counts that cannot be meant are refused with a sentence.
TEST(Cascade, RefusesWrongCounts) {
  const auto refused = [](std::size_t judges, std::vector<int> keep) {
    EXPECT_THROW(check_keep("rank", judges, keep), UsageError);
  };
  refused(1, {2});
  refused(3, {2});
  refused(2, {2, 1});
  refused(2, {0});
  refused(3, {3, 8});
  EXPECT_NO_THROW(check_keep("rank", 3, std::vector<int>{8, 8}));
}

Finished finished(CandidateId id, std::vector<std::optional<Result>> results) {
  return {id, std::move(results), {}};
}

// The strategy asks each judge in turn for the survivors of the one before, then is done.
TEST(Cascade, TheStrategyAsksJudgeByJudge) {
  const StrategyPtr strategy = cascade({{10, 11, 12}, {2, 1}});
  EXPECT_EQ(strategy->needs().judges, 3u);
  EXPECT_EQ(strategy->ask().starts.size(), 3u);
  EXPECT_TRUE(strategy->ask().empty());
  for (CandidateId id = 0; id < 3; ++id) {
    strategy->tell(finished(id, {judgement(static_cast<double>(id)), kNone, kNone}));
  }
  Ask ask = strategy->ask();
  ASSERT_EQ(ask.judgements.size(), 1u);
  EXPECT_EQ(ask.judgements[0].ids, (std::vector<CandidateId>{2, 1}));
  EXPECT_EQ(ask.judgements[0].judge, 1u);
  EXPECT_TRUE(strategy->ask().empty()) << "until they are told";
  strategy->tell(Judged{1, 0, 1, {2, 1}, {judgement(1), judgement(4)}});
  ask = strategy->ask();
  ASSERT_EQ(ask.judgements.size(), 1u);
  EXPECT_EQ(ask.judgements[0].ids, (std::vector<CandidateId>{1}));
  strategy->tell(Judged{2, 0, 2, {1}, {Failure{"x", "y"}}});
  EXPECT_TRUE(strategy->ask().empty());
  const std::vector<Ranked> ranking = strategy->ranking();
  ASSERT_EQ(ranking.size(), 3u);
  EXPECT_EQ(ranking[0].id, 1) << "who failed at the end keeps the place of the judge before";
  EXPECT_EQ(ranking[2].id, 0);
  EXPECT_THROW(cascade({{1, 2}, {}}), UsageError);
}

// Files that arrive later are judged by the first judge, and who survives is asked for anew; an
// empty ask is not the end. A file that has changed supersedes the old one; ties go by label.
TEST(Cascade, ArrivalsAreJudgedToAFixpoint) {
  const StrategyPtr strategy = cascade({.seeds = {}, .keep = {1}, .files = true});
  EXPECT_TRUE(strategy->needs().files);
  EXPECT_TRUE(strategy->ask().empty()) << "nothing has arrived";
  strategy->tell(Arrived{"b.mp4", "/b.mp4", "1"});
  Ask ask = strategy->ask();
  ASSERT_EQ(ask.starts.size(), 1u);
  EXPECT_EQ(ask.starts[0].label, "b.mp4");
  strategy->tell(finished(0, {judgement(2), kNone}));
  ask = strategy->ask();
  ASSERT_EQ(ask.judgements.size(), 1u);
  strategy->tell(Judged{1, 0, 1, {0}, {judgement(9)}});
  EXPECT_TRUE(strategy->ask().empty());
  EXPECT_EQ(strategy->ranking().at(0).judge, 1u);

  strategy->tell(Arrived{"a.mp4", "/a.mp4", "2"});
  EXPECT_EQ(strategy->ask().starts.at(0).id, 1);
  strategy->tell(finished(1, {judgement(2), kNone}));
  ask = strategy->ask();
  ASSERT_EQ(ask.judgements.size(), 1u) << "a tie goes to the lower label";
  EXPECT_EQ(ask.judgements[0].ids, (std::vector<CandidateId>{1}));
  strategy->tell(Judged{3, 0, 1, {1}, {judgement(1)}});
  EXPECT_TRUE(strategy->ask().empty());
  std::vector<Ranked> ranking = strategy->ranking();
  ASSERT_EQ(ranking.size(), 2u);
  EXPECT_EQ(ranking[0].id, 1);
  EXPECT_EQ(ranking[1].judge, 0u);

  strategy->tell(Arrived{"a.mp4", "/a.mp4", "3"});
  EXPECT_EQ(strategy->ask().starts.at(0).id, 2);
  strategy->tell(finished(2, {judgement(1), kNone}));
  EXPECT_TRUE(strategy->ask().empty()) << "the second judge has seen b.mp4 before";
  ranking = strategy->ranking();
  ASSERT_EQ(ranking.size(), 2u);
  EXPECT_EQ(ranking[0].id, 0);
  EXPECT_EQ(ranking[1].id, 2);
}

/// A run of `n` candidates over `judges`, with what each judge said.
std::vector<Event> run_of(const RunSettings& settings,
                          const std::vector<std::vector<std::optional<Result>>>& results) {
  std::vector<Event> events{run_event(settings)};
  for (std::size_t c = 0; c < results.size(); ++c) {
    Candidate candidate;
    candidate.id = std::string(1, static_cast<char>('a' + c));
    events.push_back(candidate_event(candidate));
    for (std::size_t j = 0; j < results[c].size(); ++j) {
      if (results[c][j]) events.push_back(judged_event(candidate.id, j, *results[c][j]));
    }
  }
  return events;
}

Judgement timed(double reward, double seconds) {
  Judgement result = judgement(reward);
  result.seconds = seconds;
  return result;
}

// A run's view says who was dropped by whom and why, and what each judge cost and saved.
TEST(Cascade, TheViewSaysWhoWasDroppedAndWhatItSaved) {
  RunSettings settings;
  settings.command = "rank";
  settings.judges = {"pixels", "/models/dear/"};
  settings.judge_ids = {"pixels/1", "dear/1"};
  settings.keep = {2};
  const Failure broken{"video_corrupt", "broken"};
  const RunView view = project(run_of(settings, {{timed(1, 0.5), kNone},
                                                 {timed(3, 0.5), timed(2, 4)},
                                                 {timed(4, 0.5), timed(1, 4)},
                                                 {broken, kNone}}));
  EXPECT_EQ(view.settings.keep, settings.keep);
  EXPECT_EQ(view.winner, "b");
  ASSERT_EQ(view.candidates.size(), 4u);
  EXPECT_EQ(view.candidates[1].id, "c");
  EXPECT_EQ(view.candidates[2].dropped,
            "judge 1 (pixels) put it at place 3 of 3, and the best 2 went on");
  EXPECT_EQ(*view.candidates[2].decided_by, 0u);
  EXPECT_EQ(view.candidates[3].dropped, "judge 1 (pixels) failed on it");
  EXPECT_EQ(view.candidates[3].rank, 0);
  const std::vector<CascadeStage> stages = cascade_stages(view);
  ASSERT_EQ(stages.size(), 2u);
  EXPECT_EQ(stages[0].kept, 2);
  EXPECT_DOUBLE_EQ(stages[1].seconds, 8);
  EXPECT_DOUBLE_EQ(stages[1].saved_seconds, 8) << "two of four at four seconds each";
  EXPECT_EQ(judge_label(settings, 1), "judge 2 (dear)");
  EXPECT_NE(export_run(view, ExportFormat::kCsv).find("judged_by,dropped"), std::string::npos);
}

// A survivor that is not judged yet is neither dropped nor placed before the judged ones.
TEST(Cascade, ASurvivorThatWaitsIsNotDropped) {
  RunSettings settings;
  settings.judges = settings.judge_ids = {"a", "b"};
  settings.keep = {1};
  const RunView view = project(run_of(settings, {{timed(1, 1), kNone}, {timed(2, 1), kNone}}));
  EXPECT_EQ(view.candidates[0].id, "b");
  EXPECT_EQ(view.candidates[0].dropped, "");
  EXPECT_NE(view.candidates[1].dropped, "");
}

}  // namespace
}  // namespace bestreel
