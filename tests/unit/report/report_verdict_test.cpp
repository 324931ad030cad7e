// The sentences at the top: who won, by how much, why, and whether the judge can tell.
#include "report_fixture.h"

namespace bestreel {
namespace {

class VerdictTest : public ReportTest {
 protected:
  void two(double spread) {
    add("a.mp4", judgement({{"visual_quality", 4.4}, {"temporal_consistency", 3.5}}));
    add("b.mp4", judgement({{"visual_quality", 3.5}, {"temporal_consistency", 3.56}}));
    if (spread <= 0) return;
    for (std::size_t i : {0, 1}) {
      for (Dimension& dimension : judgement_at(i).dimensions) dimension.std = spread;
    }
  }
};

/// The winner's lead and the dimensions that made it are said in words, largest first.
TEST_F(VerdictTest, SaysByHowMuchAndWhy) {
  two(0);
  EXPECT_EQ(headline(), "a.mp4 wins by 0.42 over b.mp4");
  EXPECT_NE(text_of(page()).find("Ahead in visual quality (+0.90); behind in temporal consistency "
                                 "(\u22120.06)."),
            std::string::npos);
}

/// Dimensions in which the two do not differ are said to be level.
TEST_F(VerdictTest, SaysLevelForEqualDimensions) {
  add("a.mp4", judgement({{"motion", 4}, {"light", 3}, {"text", 2}}));
  add("b.mp4", judgement({{"motion", 3}, {"light", 3}, {"text", 2}}));
  EXPECT_NE(text_of(page()).find("Ahead in motion (+1.00); level in light and text."),
            std::string::npos);
}

/// A difference that two decimals would hide is still not zero.
TEST_F(VerdictTest, ShowsSmallLeads) {
  add("a.mp4", judgement({{"motion", 3.0004}}));
  add("b.mp4", judgement({{"motion", 3}}));
  EXPECT_EQ(headline(), "a.mp4 wins by 0.00040 over b.mp4");
}

/// Rewards of different judges are never compared: who got further wins whatever the numbers,
/// rewards name their judge, and the mean rank, which nobody took, is not spoken of.
TEST_F(VerdictTest, RewardsOfDifferentJudgesStayApart) {
  view_.settings.judges = {"cheap", "dear"};
  view_.settings.judge_ids = {"cheap-1", "dear-1"};
  view_.settings.combination = Combination::kRankMean;
  view_.finished = true;
  for (const char* id : {"a.mp4", "b.mp4", "c.mp4"}) {
    add(id, judgement({{"motion", 4.5}})).results.resize(2);
  }
  view_.candidates[0].results[1] = judgement({{"motion", 1.5}});
  view_.candidates[0].reward = 1.5;
  for (std::size_t i = 0; i < 3; ++i) view_.candidates[i].decided_by = i == 0 ? 1 : 0;
  EXPECT_EQ(headline(), "a.mp4 wins with 1.50: the only one that dear has judged");
  const std::string text = text_of(page());
  EXPECT_EQ(text.find("mean rank"), std::string::npos);
  EXPECT_NE(text.find("rewards of different judges are not compared"), std::string::npos);
  EXPECT_LT(text.find("reward by dear"), text.find("reward by cheap"));
  EXPECT_EQ(count_of(text, "Not asked: not among the best."), 2u);
  // Of two that the dear judge has seen, its own lead is told.
  view_.candidates[1].results[1] = judgement({{"motion", 1.25}});
  view_.candidates[1].reward = 1.25;
  view_.candidates[1].decided_by = 1;
  EXPECT_EQ(headline(), "a.mp4 wins by 0.25 over b.mp4");
}

/// A run that goes on has a leader and not a winner.
TEST_F(VerdictTest, UnfinishedRunsHaveALeader) {
  two(0);
  view_.finished = false;
  view_.winner.clear();
  const std::string html = page();
  EXPECT_EQ(text_of(between(html, "<h1>", "</h1>")), "a.mp4 leads by 0.42 over b.mp4 so far");
  EXPECT_NE(html.find("Not finished."), std::string::npos);
  EXPECT_EQ(html.find(">Winner<"), std::string::npos);
}

/// Nothing to compare with: the only video, the only one judged, the first one judged.
TEST_F(VerdictTest, OneVideo) {
  add("a.mp4", judgement({{"motion", 3.92}}));
  EXPECT_EQ(headline(), "a.mp4 is the only video: 3.92");
  add("b.mp4", Failure{"video_corrupt", "b.mp4 is broken"});
  EXPECT_EQ(headline(), "a.mp4 wins with 3.92: the other video could not be judged");
  add("c.mp4", Failure{"video_corrupt", "c.mp4 is broken"});
  EXPECT_EQ(headline(), "a.mp4 wins with 3.92: the other 2 videos could not be judged");
  view_.finished = false;
  EXPECT_EQ(headline(), "a.mp4 is the first to be judged: 3.92");
}

/// A run without a reward says so, and how it came.
TEST_F(VerdictTest, NoWinner) {
  EXPECT_EQ(headline(), "This run holds no videos");
  add("a.mp4", std::nullopt);
  view_.finished = false;
  EXPECT_EQ(headline(), "No video has been judged yet");
  view_.finished = true;
  view_.candidates.clear();
  add("a.mp4", Failure{"video_corrupt", "a.mp4 is broken"});
  EXPECT_EQ(headline(), "No winner: the only video could not be judged");
  add("b.mp4", Failure{"video_corrupt", "b.mp4 is broken"});
  EXPECT_EQ(headline(), "No winner: none of the 2 videos could be judged");
  view_.settings.judges = {"one", "two"};
  view_.candidates[0].results = {judgement({{"motion", 3}}), Failure{"cancelled", "stopped"}};
  EXPECT_EQ(headline(), "No winner: no video was judged by every judge");
}

/// Equal rewards are a tie, and the page says why one of them is first.
TEST_F(VerdictTest, Tie) {
  add("a.mp4", judgement({{"motion", 3}}));
  add("b.mp4", judgement({{"motion", 3}}));
  const std::string text = text_of(page());
  EXPECT_EQ(headline(), "a.mp4 and b.mp4 tie at 3.00");
  EXPECT_NE(text.find("a.mp4 is named first because ties go by name."), std::string::npos);
}

/// The lead is compared with the spread of both videos' samples: sqrt(0.4^2 + 0.4^2) = 0.57.
TEST_F(VerdictTest, WithinTheNoise) {
  two(0.4);
  EXPECT_NE(
      text_of(page()).find("Within the noise. The lead of 0.42 is no larger than the spread of "
                           "repeated samples (\u00b10.57)"),
      std::string::npos);
}

/// A lead beyond the spread is given as its multiple; without samples nothing is said of noise.
TEST_F(VerdictTest, BeyondTheNoise) {
  two(0.1);
  const std::string text = text_of(page());
  EXPECT_NE(text.find("The lead of 0.42 is 3.0 times the spread of repeated samples (\u00b10.14)."),
            std::string::npos);
  EXPECT_EQ(text.find("Within the noise"), std::string::npos);
  view_.candidates.clear();
  two(0);
  EXPECT_EQ(text_of(page()).find("repeated samples"), std::string::npos);
}

/// With several judges each gives its reasons under its own name, and the unit of the reward is
/// said.
TEST_F(VerdictTest, SeveralJudges) {
  two(0.1);
  view_.settings.judges = {"videoscore2:/models/vs2", "pixels"};
  view_.settings.combination = Combination::kRankMean;
  view_.candidates[0].results.push_back(judgement({{"flicker", 2}}));
  view_.candidates[1].results.push_back(judgement({{"flicker", 3}}));
  view_.candidates[0].reward = 0.75;
  view_.candidates[1].reward = 0.25;
  const std::string text = text_of(page());
  EXPECT_EQ(headline(), "a.mp4 wins by 0.50 over b.mp4");
  EXPECT_NE(text.find("videoscore2: ahead in visual quality (+0.90)"), std::string::npos);
  EXPECT_NE(text.find("pixels: behind in flicker (\u22121.00)."), std::string::npos);
  EXPECT_NE(text.find("mean rank over 2 judges"), std::string::npos);
  EXPECT_NE(text.find("videoscore2: the lead of 0.42 is 3.0 times"), std::string::npos);

  // As a weighted mean 3 : 1 the spread is 3/4 of the one judge's.
  view_.settings.combination = Combination::kWeights;
  view_.settings.weights = {3, 1};
  EXPECT_NE(text_of(page()).find("The lead of 0.50 is 4.7 times the spread of repeated samples "
                                 "(\u00b10.11)."),
            std::string::npos);
}

/// Two judges of one kind are told apart by their whole SPEC.
TEST_F(VerdictTest, JudgesOfOneKind) {
  two(0);
  view_.settings.judges = {"videoscore2:/models/a", "videoscore2:/models/b"};
  for (Candidate& candidate : view_.candidates) candidate.results.push_back(candidate.results[0]);
  EXPECT_NE(text_of(page()).find("videoscore2:/models/b: ahead in"), std::string::npos);
}

}  // namespace
}  // namespace bestreel
