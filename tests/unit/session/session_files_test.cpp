#include "core/media/video.h"
#include "plugin/runs/report.h"
#include "plugin/video_sink.h"
#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::SyntheticEngine;

class SessionFilesTest : public testing::SessionFixture {
 protected:
  /// 16x16, `count` frames of one grey each.
  static VideoPtr grey_video(int count) {
    auto pixels = std::make_shared<std::vector<std::uint8_t>>();
    for (int t = 0; t < count; ++t) pixels->insert(pixels->end(), 3 * 16 * 16, 40 + 10 * t);
    TensorView frames;
    frames.data = pixels->data();
    frames.shape = {count, 3, 16, 16};
    frames.strides = {768, 256, 16, 1};
    frames.owner = pixels;
    return video_from_frames(frames, {8, 1});
  }
};

// What is kept is a video that opens, with all its frames, in equal bytes each time; a file that
// was one already is kept byte for byte.
TEST_F(SessionFilesTest, KeepsVideosAsFiles) {
  const VideoSink keep = mp4_sink(run_, {{"prompt", "a red ball"}});
  const std::string path = keep("previews/c000-step003", grey_video(11));
  EXPECT_EQ(path, run_ + "/previews/c000-step003.mp4");
  const VideoPtr kept = open_video(path);
  EXPECT_EQ(kept->info().frame_count, 11);
  EXPECT_EQ(kept->info().width, 16);
  EXPECT_EQ(kept->info().fps.value(), 8);
  const std::string hash = sha256_file(path);
  EXPECT_EQ(sha256_file(keep("c001", grey_video(11))), hash);
  EXPECT_EQ(sha256_file(keep("c002", kept)), hash);
  EXPECT_NE(sha256_file(keep("c003", kept->info().frame_count == 11 ? grey_video(10) : kept)),
            hash);
}

// The report says of every candidate where it began, on what preview it ended, and what all cost.
TEST_F(SessionFilesTest, TheReportShowsHowTheyWereMade) {
  SyntheticEngine engine;
  engine.breaks = {{2, 12}};
  const RunView view =
      run(run_, engine,
          halving({.seeds = consecutive_seeds(1, 4), .steps = 20, .finalists = 2, .rungs = {5}}))
          .view;
  write_report(run_, view);
  const std::string page = read_file(run_ + "/report.html");
  for (const TrajectoryRecord& trajectory : view.trajectories) {
    const std::string row = "<th scope=\"row\">" + trajectory.id + "</th><td>" + trajectory.noise;
    EXPECT_NE(page.find(row), std::string::npos) << trajectory.id;
  }
  EXPECT_NE(page.find("dropped at step 5"), std::string::npos);
  EXPECT_NE(page.find("href=\"previews/c000-step005.txt\""), std::string::npos);
  EXPECT_NE(page.find("svg class=\"lineage\""), std::string::npos);
  EXPECT_NE(page.find("<dt>denoiser forwards</dt><dd>" +
                      std::to_string(static_cast<int>(view.ledger.forwards)) + "</dd>"),
            std::string::npos);
  EXPECT_NE(page.find(view.settings.strategy), std::string::npos);
}

// A renamed run is gone on with; what was tampered with, or is missing, winner or not, is made
// again from its text, and the good best file is never away.
TEST_F(SessionFilesTest, MakesAgainWhatIsNotAsItWas) {
  SyntheticEngine engine;
  const auto again = [&](const std::string& directory) {
    SyntheticEngine fresh;
    return run(directory, fresh, best_of_n({.seeds = consecutive_seeds(1, 4)}));
  };
  const RunView view = run(run_, engine, best_of_n({.seeds = consecutive_seeds(1, 4)})).view;
  ASSERT_FALSE(view.winner.empty());
  const std::string events = table(run_), best_bytes = best(run_);
  const std::string moved = (folder_ / "moved").string();
  std::filesystem::rename(run_, moved);
  EXPECT_EQ(again(moved).view.winner, view.winner);
  EXPECT_EQ(table(moved), events);
  for (int id = 0; id < 4; ++id) {
    const std::string file = moved + "/" + candidate_name(id) + ".txt";
    const std::string bytes = read_file(file);
    write_file_atomically(file, "tampered with");
    EXPECT_EQ(again(moved).view.winner, view.winner);
    EXPECT_EQ(read_file(file), bytes);
    std::filesystem::remove(file);
    EXPECT_EQ(again(moved).view.winner, view.winner);
    EXPECT_EQ(read_file(file), bytes);
    EXPECT_EQ(best(moved), best_bytes);
  }
  EXPECT_EQ(table(moved), events);
}

// A run without trajectories has no such section: the page of `rank` is as it was.
TEST_F(SessionFilesTest, RankingsHaveNoSuchSection) {
  RunView view;
  view.settings.command = "rank";
  write_report(run_, view);
  EXPECT_EQ(read_file(run_ + "/report.html").find("How they were made"), std::string::npos);
}

}  // namespace
}  // namespace bestreel
