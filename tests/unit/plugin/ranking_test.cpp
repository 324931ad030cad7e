#include "plugin/ranking.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "core/base/file.h"
#include "core/media/video_writer.h"
#include "fakes.h"

namespace bestreel {
namespace {
namespace fs = std::filesystem;

using testing::FakeJudge;
using testing::judgement;
using testing::rate_judge;

class RankingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bestreel-rank-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    run_ = (folder_ / "run").string();
    settings_.command = "rank";
    settings_.prompt = "p";
    settings_.judges = {"rate"};
    settings_.judge_ids = {"fake/1"};
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

  fs::path folder_;
  std::string run_;
  RunSettings settings_;
};

// The winner's file is copied byte for byte, and a bad file does not stop the others.
TEST_F(RankingTest, RanksAndKeepsTheBest) {
  const std::string slow = write("slow.mp4", 5), fast = write("fast.mp4", 30);
  const std::string bad = (folder_ / "bad.mp4").string();
  std::ofstream(bad) << "nothing";
  Ranking ranking = Ranking::start(run_, settings_, {slow, bad, fast}, {rate_judge()});
  EXPECT_TRUE(ranking.judge_pending({}, nullptr));
  const RunView& view = ranking.finish({});
  EXPECT_EQ(view.winner, "fast.mp4");
  ASSERT_EQ(view.candidates.size(), 3u);
  EXPECT_EQ(view.candidates[1].id, "slow.mp4");
  EXPECT_TRUE(failed(*view.candidates[2].results[0]));
  EXPECT_EQ(read_file(run_ + "/best.mp4"), read_file(fast));
  EXPECT_TRUE(fs::exists(run_ + "/report.html"));
  EXPECT_TRUE(view.finished);
}

// Stopped half-way, a run goes on where it was and asks no judge twice.
TEST_F(RankingTest, ResumesWithoutJudgingTwice) {
  const std::vector<std::string> files{write("a.mp4", 5), write("b.mp4", 6), write("c.mp4", 7)};
  std::stop_source stop;
  int calls = 0;
  const auto counted = [&](bool stopping) {
    return std::make_shared<FakeJudge>(
        [&, stopping](std::span<const Request> requests, const std::stop_token&) {
          ++calls;
          if (stopping) stop.request_stop();
          return std::vector<Result>(requests.size(), judgement(calls));
        });
  };
  {
    Ranking ranking = Ranking::start(run_, settings_, files, {counted(true)});
    EXPECT_FALSE(ranking.judge_pending(stop.get_token(), nullptr));
  }
  EXPECT_EQ(calls, 1);
  Ranking ranking = Ranking::resume(run_, settings_, {counted(false)});
  EXPECT_TRUE(ranking.judge_pending({}, nullptr));
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(ranking.finish({}).winner, "c.mp4");
}

// A run goes on only with what it began with; the sentence says what differs.
TEST_F(RankingTest, ResumeRefusesOtherSettings) {
  { Ranking ranking = Ranking::start(run_, settings_, {write("a.mp4", 5)}, {rate_judge()}); }
  const auto refused = [&](const std::function<void(RunSettings&)>& change) -> std::string {
    RunSettings other = settings_;
    change(other);
    try {
      Ranking::resume(run_, other, {rate_judge()});
    } catch (const Error& error) {
      return error.code() == "run_mismatch" ? error.what() : "";
    }
    return "";
  };
  EXPECT_NE(refused([](RunSettings& s) { s.prompt = "q"; }).find("prompt"), std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.threads = 9; }).find("--threads was 1 and is now 9"),
            std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.versions = "w"; }).find("version"), std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.judge_ids = {"x"}; }).find("judge"), std::string::npos);
  EXPECT_NE(refused([](RunSettings& s) { s.combination = Combination::kRankMean; }), "");
}

// A video that changes under a run is not judged in the old one's name.
TEST_F(RankingTest, AChangedFileIsAFailure) {
  const std::string path = write("a.mp4", 5);
  Ranking ranking = Ranking::start(run_, settings_, {path}, {rate_judge()});
  write("a.mp4", 6);
  EXPECT_TRUE(ranking.judge_pending({}, nullptr));
  EXPECT_EQ(std::get<Failure>(*ranking.view().candidates[0].results[0]).code, "video_changed");
  EXPECT_EQ(ranking.take_in({path}), 1u) << "taking it in again is the remedy";
  EXPECT_TRUE(ranking.judge_pending({}, nullptr));
  EXPECT_EQ(ranking.finish({}).winner, "a.mp4");
  EXPECT_EQ(ranking.take_in({path}), 0u);
}

// An older winner's file does not stay beside the new one's.
TEST_F(RankingTest, OneBestFile) {
  Ranking ranking = Ranking::start(run_, settings_, {write("a.mp4", 5)}, {rate_judge()});
  ranking.judge_pending({}, nullptr);
  ranking.finish({});
  write("b.mp4", 9);
  fs::rename(folder_ / "b.mp4", folder_ / "b.m4v");
  EXPECT_EQ(ranking.take_in({(folder_ / "b.m4v").string()}), 1u);
  ranking.judge_pending({}, nullptr);
  ranking.finish({});
  EXPECT_TRUE(fs::exists(run_ + "/best.m4v"));
  EXPECT_FALSE(fs::exists(run_ + "/best.mp4"));
}

TEST(ShortestTails, TellVideosApart) {
  const auto tails = [](std::vector<std::string> paths) { return shortest_tails(paths); };
  using Names = std::vector<std::string>;
  EXPECT_EQ(tails({"/x/a.mp4", "/x/b.mp4"}), (Names{"a.mp4", "b.mp4"}));
  EXPECT_EQ(tails({"/x/a.mp4", "/y/a.mp4", "/y/c.mp4"}), (Names{"x/a.mp4", "y/a.mp4", "c.mp4"}));
  EXPECT_EQ(tails({"/a.mp4", "/x/a.mp4"}), (Names{"a.mp4", "x/a.mp4"}));
}

// Folders give their videos, sorted; hidden files and other kinds are left out; nothing twice.
TEST_F(RankingTest, ExpandsFolders) {
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
}  // namespace bestreel
