#include "plugin/runs/run_view.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"
#include "fakes.h"

namespace bestreel {
namespace {

using testing::judgement;

RunSettings settings(std::size_t judges = 1) {
  RunSettings result;
  result.command = "rank";
  result.argv = {"bestreel", "rank", "a \xFF.mp4"};
  result.prompt = "a prompt";
  for (std::size_t j = 0; j < judges; ++j) {
    result.judges.push_back("pixels");
    result.judge_ids.push_back("pixels/1");
  }
  result.threads = 2;
  result.versions = "v";
  return result;
}

Event candidate(const std::string& id) {
  Candidate result;
  result.id = id;
  result.path = "/videos/" + id;
  result.sha256 = std::string(64, '0');
  result.video.frame_count = 3;
  result.video.fps = {30000, 1001};
  return candidate_event(result);
}

// Best first, failures last, ties by id.
TEST(RunView, ProjectsEvents) {
  const std::vector<Event> events{run_event(settings()),
                                  candidate("d"),
                                  candidate("c"),
                                  candidate("b"),
                                  candidate("a"),
                                  judged_event("a", 0, Failure{"video_corrupt", "no"}),
                                  judged_event("d", 0, judgement(4)),
                                  judged_event("c", 0, judgement(2)),
                                  judged_event("b", 0, judgement(4))};
  const RunView view = project(events);
  std::string order;
  for (const Candidate& each : view.candidates) order += each.id;
  EXPECT_EQ(order, "bdca");
  EXPECT_EQ(view.winner, "b");
  EXPECT_EQ(view.candidates[0].rank, 1);
  EXPECT_EQ(view.candidates[3].rank, 0);
  EXPECT_FALSE(view.finished);
  EXPECT_EQ(view.settings.argv[2], "a \xFF.mp4") << "a path may hold any bytes";
  EXPECT_EQ(view.candidates[0].video.fps.num, 30000);
  EXPECT_TRUE(project({run_event(settings()), finished_event("")}).finished);
}

// A candidate that is taken in again has no judgement any more.
TEST(RunView, ARewrittenVideoIsJudgedAgain) {
  const RunView view = project(
      {run_event(settings()), candidate("a"), judged_event("a", 0, judgement(4)), candidate("a")});
  EXPECT_FALSE(view.candidates[0].results[0].has_value());
  EXPECT_FALSE(view.candidates[0].reward.has_value());
}

// A candidate is ranked when every judge has judged it.
TEST(RunView, WaitsForEveryJudge) {
  std::vector<Event> events{run_event(settings(2)), candidate("a"),
                            judged_event("a", 1, judgement(4))};
  EXPECT_EQ(project(events).winner, "");
  events.push_back(judged_event("a", 0, judgement(2)));
  EXPECT_EQ(project(events).candidates[0].reward, 3.0);
}

// The export does not know in which order things happened, nor when.
TEST(RunView, ExportIsCanonical) {
  const Event run = run_event(settings());
  Judgement slow = judgement(4);
  slow.seconds = 99;
  const std::vector<Event> one{run, candidate("a"), candidate("b,\"x\""),
                               judged_event("a", 0, judgement(4)),
                               judged_event("b,\"x\"", 0, Failure{"c", "line\nend"})};
  const std::vector<Event> two{run, candidate("b,\"x\""), candidate("a"),
                               judged_event("b,\"x\"", 0, Failure{"c", "line\nend"}),
                               judged_event("a", 0, slow)};
  for (const ExportFormat format : {ExportFormat::kCsv, ExportFormat::kJsonl}) {
    EXPECT_EQ(export_run(project(one), format), export_run(project(two), format));
  }
  EXPECT_EQ(
      export_run(project(one), ExportFormat::kCsv),
      "video,sha256,rank,reward,winner,quality.score,quality.expected,judge.reward,"
      "judge.failure_code,judge.failure\r\n"
      "a,0000000000000000000000000000000000000000000000000000000000000000,1,4.0,1,3,4.0,4.0,,\r\n"
      "\"b,\"\"x\"\"\",0000000000000000000000000000000000000000000000000000000000000000,,,0,,,,c,"
      "\"line\nend\"\r\n");
}

// Columns are found by the dimension's name, whatever a judgement lacks.
TEST(RunView, ExportKeepsDimensionsApart) {
  Judgement first = judgement(1);
  first.dimensions = {{"x,y", 2, 2.5, 1.5, {}, {}}};
  Judgement second = judgement(2);
  second.dimensions = {{"z", 5, 4.5, {}, {}, {}}, {"x,y", 1, 1.25, {}, {}, {}}};
  const RunView view = project({run_event(settings(2)), candidate("a"), candidate("b\xFF"),
                                judged_event("a", 0, first), judged_event("b\xFF", 0, second),
                                judged_event("a", 1, Failure{"code", "why"})});
  EXPECT_EQ(
      export_run(view, ExportFormat::kCsv),
      "video,sha256,rank,reward,winner,\"judge1.x,y.score\",\"judge1.x,y.expected\","
      "\"judge1.x,y.reference_soft\",judge1.z.score,judge1.z.expected,judge1.reward,"
      "judge1.failure_code,judge1.failure,judge2.reward,judge2.failure_code,judge2.failure\r\n"
      "a,0000000000000000000000000000000000000000000000000000000000000000,,,0,2,2.5,1.5,,,1.0,,,,"
      "code,why\r\n"
      "b\xEF\xBF\xBD,0000000000000000000000000000000000000000000000000000000000000000,,,0,1,1.25,,"
      "5,4.5,2.0,,,,,\r\n");
}

// A score that is no number is that video's failure; the run can still be read and ranked.
TEST(RunView, ARewardThatIsNoNumberIsAFailure) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const RunView view =
      project({run_event(settings()), candidate("a"), candidate("b"),
               judged_event("a", 0, judgement(nan)), judged_event("b", 0, judgement(2))});
  EXPECT_EQ(view.winner, "b");
  EXPECT_EQ(std::get<Failure>(*view.candidates[1].results[0]).code, "judge_broken");
}

// A run goes on after its end: the last event tells, and the last judgement counts.
TEST(RunView, GoesOnAfterItsEnd) {
  std::vector<Event> events{run_event(settings()), candidate("a"),
                            judged_event("a", 0, judgement(1)), finished_event("a")};
  EXPECT_TRUE(project(events).finished);
  events.push_back(candidate("b"));
  events.push_back({.kind = "of a later version", .body = "{}"});
  events.push_back(judged_event("b", 0, judgement(2)));
  events.push_back(judged_event("a", 0, judgement(3)));
  EXPECT_FALSE(project(events).finished);
  EXPECT_EQ(project(events).winner, "a");
}

// An event of another version is a sentence, not a crash.
TEST(RunView, RefusesWhatItCannotRead) {
  EXPECT_THROW(project({{.kind = "run", .body = "{}"}}), Error);
  EXPECT_THROW(project({run_event(settings()), judged_event("nobody", 0, judgement(1))}), Error);
  EXPECT_THROW(project({run_event(settings()), candidate("a"), judged_event("a", 7, judgement(1))}),
               Error);
  Event event = run_event(settings());
  const auto swap = [&](const std::string& from, const std::string& to) {
    const std::size_t at = event.body.find(from);
    ASSERT_NE(at, std::string::npos);
    event.body.replace(at, from.size(), to);
  };
  swap("\"threads\":2", "\"threads\":2.5");
  EXPECT_THROW(project({event}), Error);
  swap("\"threads\":2.5", "\"threads\":2");
  EXPECT_NO_THROW(project({event}));
  swap("\"judge_ids\":[\"pixels/1\"]", "\"judge_ids\":[]");
  EXPECT_THROW(project({event}), Error);
}

}  // namespace
}  // namespace bestreel
