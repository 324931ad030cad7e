#include "app/files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>

#include "../plugin/fakes.h"
#include "core/base/file.h"
#include "core/media/video_writer.h"
#include "plugin/session.h"
#include "plugin/strategies/best_of_n.h"
#include "plugin/strategies/cascade.h"

namespace bestreel::app {
namespace {
namespace fs = std::filesystem;

using bestreel::testing::FakeJudge;
using bestreel::testing::judgement;
using bestreel::testing::rate_judge;

class FilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bestreel-rank-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    run_ = (folder_ / "run").string();
    settings_.command = "rank";
    settings_.prompt = "p";
    settings_.judges = {"rate"};
    settings_.threads = 1;
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// A real file whose frame rate is its reward.
  std::string write(const std::string& name, std::int64_t rate) {
    const std::string path = (folder_ / name).string();
    fs::create_directories(fs::path(path).parent_path());
    VideoWriter writer(path, {.fps = {rate, 1}});
    std::vector<std::uint8_t> pixels(2 * 3 * 16 * 16, 100);
    TensorView frames;
    frames.data = pixels.data();
    frames.shape = {2, 3, 16, 16};
    frames.strides = {768, 256, 16, 1};
    writer.add(frames);
    writer.finish();
    return path;
  }

  std::unique_ptr<Session> open(const JudgePtr& judge, std::stop_token stop = {}) {
    SessionOptions options{.settings = settings_, .condition = {settings_.prompt, ""}};
    options.stop = std::move(stop);
    return std::make_unique<Session>(run_, engine_.capabilities(),
                                     best_of_n({.selection = selection_, .files = true}),
                                     std::vector{judge}, std::move(options));
  }

  /// One run over `files` as they are now.
  Outcome rank(const std::vector<std::string>& files, const JudgePtr& judge = rate_judge(),
               std::stop_token stop = {}) {
    const auto session = open(judge, std::move(stop));
    session->arrived(Arrivals({}).take_in(files));
    return session->run(engine_);
  }

  fs::path folder_;
  std::string run_;
  RunSettings settings_;
  Selection selection_;
  FilesEngine engine_;
};

// The winner's file is copied byte for byte, nothing else is, and a bad file does not stop the
// others.
TEST_F(FilesTest, RanksAndKeepsTheBest) {
  const std::string slow = write("slow.mp4", 5), fast = write("fast.mp4", 30);
  const std::string bad = (folder_ / "bad.mp4").string();
  std::ofstream(bad) << "nothing";
  const Outcome outcome = rank({slow, bad, fast});
  EXPECT_TRUE(outcome.complete);
  const RunView& view = outcome.view;
  EXPECT_EQ(view.winner, "fast.mp4");
  ASSERT_EQ(view.candidates.size(), 3u);
  EXPECT_EQ(view.candidates[0].path, fast);
  EXPECT_EQ(view.candidates[1].id, "slow.mp4");
  EXPECT_TRUE(failed(*view.candidates[2].results[0]));
  EXPECT_EQ(read_file(run_ + "/best.mp4"), read_file(fast));
  EXPECT_TRUE(view.finished);
  EXPECT_TRUE(view.trajectories.empty());
  std::size_t videos = 0;
  for (const auto& entry : fs::recursive_directory_iterator(run_))
    videos += entry.path().extension() == ".mp4" ? 1 : 0;
  EXPECT_EQ(videos, 1u);
}

// Equal rewards go by name, whatever the order in which the files were given.
TEST_F(FilesTest, TiesGoByLabel) {
  const std::string a = write("a.mp4", 5), b = write("b.mp4", 5);
  EXPECT_EQ(rank({b, a}).view.winner, "a.mp4");
}

// Stopped half-way, a run goes on where it was and asks no judge twice; what was judged is ranked.
TEST_F(FilesTest, ResumesWithoutJudgingTwice) {
  const std::vector<std::string> files{write("a.mp4", 5), write("b.mp4", 6), write("c.mp4", 7)};
  std::stop_source stop;
  std::vector<double> seen;
  const auto counted = [&](bool stopping) {
    return std::make_shared<FakeJudge>(
        [&, stopping](std::span<const Request> requests, const std::stop_token&) {
          std::vector<Result> results;
          for (const Request& request : requests) {
            seen.push_back(request.video->info().fps.value());
            results.push_back(judgement(seen.back()));
          }
          if (stopping) stop.request_stop();
          return results;
        });
  };
  const Outcome stopped = rank(files, counted(true), stop.get_token());
  EXPECT_FALSE(stopped.complete);
  EXPECT_EQ(seen, (std::vector<double>{5}));
  const auto again = open(counted(false));
  const Outcome outcome = again->run(engine_);
  EXPECT_TRUE(outcome.complete);
  EXPECT_EQ(seen, (std::vector<double>{5, 6, 7}));
  EXPECT_EQ(outcome.view.winner, "c.mp4");
}

// A run goes on only with what it began with; the sentence says what differs.
TEST_F(FilesTest, ResumeRefusesOtherSettings) {
  const std::string a = write("a.mp4", 5);
  EXPECT_TRUE(rank({a}).complete);
  EXPECT_TRUE(rank({a}).complete) << "the same is welcome";
  const RunSettings then = settings_;
  const auto refused = [&](const std::function<void(RunSettings&)>& change,
                           const JudgePtr& judge = rate_judge()) -> std::string {
    settings_ = then;
    change(settings_);
    try {
      open(judge);
    } catch (const Error& error) {
      return error.code() == "run_mismatch" ? error.what() : "";
    }
    return "";
  };
  EXPECT_NE(refused([](RunSettings& s) { s.prompt = "q"; }).find("prompt"), std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.threads = 9; }).find("--threads was 1 and is now 9"),
            std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.versions = "w"; }).find("version"), std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.keep = {2}; }).find("--cascade"), std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.combination = Combination::kRankMean; }), "");
}

// A video that changes under a run is not judged in the old one's name; that it arrives again is
// the remedy: a new candidate that supersedes the old.
TEST_F(FilesTest, AChangedFileIsAFailureUntilItArrivesAgain) {
  const std::string path = write("a.mp4", 5);
  const auto session = open(rate_judge());
  Arrivals arrivals({});
  session->arrived(arrivals.take_in({path}));
  write("a.mp4", 6);
  Outcome outcome = session->run(engine_);
  ASSERT_EQ(outcome.view.candidates.size(), 1u);
  EXPECT_EQ(std::get<Failure>(*outcome.view.candidates[0].results[0]).code, "video_changed");
  EXPECT_EQ(outcome.view.winner, "");
  session->arrived(arrivals.take_in({path}));
  outcome = session->run(engine_);
  ASSERT_EQ(outcome.view.candidates.size(), 1u);
  EXPECT_EQ(outcome.view.winner, "a.mp4");
  EXPECT_EQ(outcome.view.candidates[0].reward, 6);
  session->arrived(arrivals.take_in({path}));
  EXPECT_TRUE(session->next_wave().empty()) << "unchanged";
}

// An older winner's file does not stay beside the new one's; who comes later joins the ranking, and
// the run that is opened again tells all of it the same.
TEST_F(FilesTest, ArrivalsJoinARunThatHasEnded) {
  const std::string a = write("a.mp4", 5);
  Arrivals arrivals({});
  {
    const auto session = open(rate_judge());
    session->arrived(arrivals.take_in({a}));
    EXPECT_EQ(session->run(engine_).view.winner, "a.mp4");
    EXPECT_TRUE(fs::exists(run_ + "/best.mp4"));
    write("b.mp4", 9);
    fs::rename(folder_ / "b.mp4", folder_ / "b.m4v");
    session->arrived(arrivals.take_in({(folder_ / "b.m4v").string()}));
    EXPECT_EQ(session->run(engine_).view.winner, "b.m4v");
    EXPECT_TRUE(fs::exists(run_ + "/best.m4v"));
    EXPECT_FALSE(fs::exists(run_ + "/best.mp4"));
  }
  const auto never = std::make_shared<FakeJudge>(
      [](std::span<const Request>, const std::stop_token&) -> std::vector<Result> {
        throw std::runtime_error("asked again");
      });
  const Outcome again = open(never)->run(engine_);
  EXPECT_TRUE(again.complete);
  EXPECT_EQ(again.view.winner, "b.m4v");
  EXPECT_EQ(again.view.arrived.size(), 2u);
}

// A watched cascade ends as the same files at once would: who is displaced counts no longer.
TEST_F(FilesTest, AWatchedCascadeEndsAsAllAtOnce) {
  const std::vector<std::string> files{write("a.mp4", 5), write("b.mp4", 6), write("c.mp4", 7)};
  settings_.judges = {"rate", "inverse"};
  settings_.keep = {1};
  const auto inverse =
      std::make_shared<FakeJudge>([](std::span<const Request> requests, const std::stop_token&) {
        std::vector<Result> results;
        for (const Request& request : requests)
          results.push_back(judgement(1 / request.video->info().fps.value()));
        return results;
      });
  const auto cascaded = [&](const std::vector<std::vector<std::string>>& batches) {
    run_ += "x";
    SessionOptions options{.settings = settings_, .condition = {settings_.prompt, ""}};
    Session session(run_, engine_.capabilities(), cascade({.keep = {1}, .files = true}),
                    {rate_judge(), inverse}, std::move(options));
    Arrivals arrivals({});
    Outcome outcome;
    for (const auto& batch : batches) {
      session.arrived(arrivals.take_in(batch));
      outcome = session.run(engine_);
    }
    std::vector<std::string> order;
    for (const Candidate& candidate : outcome.view.candidates) {
      order.push_back(candidate.id + " " + std::to_string(*candidate.decided_by) + " " +
                      candidate.dropped);
    }
    return order;
  };
  const auto at_once = cascaded({files});
  ASSERT_EQ(at_once.size(), 3u);
  EXPECT_EQ(at_once[0], "c.mp4 1 ");
  EXPECT_EQ(cascaded({{files[0]}, {files[1]}, {files[2]}}), at_once);
}

TEST(ShortestTails, TellVideosApart) {
  const auto tails = [](std::vector<std::string> paths) { return shortest_tails(paths); };
  using Names = std::vector<std::string>;
  EXPECT_EQ(tails({"/x/a.mp4", "/x/b.mp4"}), (Names{"a.mp4", "b.mp4"}));
  EXPECT_EQ(tails({"/x/a.mp4", "/y/a.mp4", "/y/c.mp4"}), (Names{"x/a.mp4", "y/a.mp4", "c.mp4"}));
  EXPECT_EQ(tails({"/a.mp4", "/x/a.mp4"}), (Names{"a.mp4", "x/a.mp4"}));
}

// Folders give their videos, sorted; hidden files and other kinds are left out; nothing twice.
TEST_F(FilesTest, ExpandsFolders) {
  const std::string b = write("in/b.mp4", 5), a = write("in/a.mp4", 5);
  for (const char* other : {"in/.hidden.mp4", "in/notes.txt"})
    std::ofstream(folder_ / other) << "x";
  fs::create_directories(folder_ / "in/deeper.mp4");
  const std::vector<std::string> inputs{b, (folder_ / "in").string()};
  EXPECT_EQ(expand_videos(inputs), (std::vector<std::string>{b, a}));
  const std::vector<std::string> absent{(folder_ / "absent").string()};
  EXPECT_THROW(expand_videos(absent), UsageError);
}

}  // namespace
}  // namespace bestreel::app
