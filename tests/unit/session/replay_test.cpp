#include "plugin/replay.h"

#include "session_fixture.h"

namespace bestreel {
namespace {

using testing::Hands;
using testing::SyntheticEngine;

class ReplayTest : public testing::SessionFixture {
 protected:
  Replayed again(CandidateId id, SyntheticEngine& engine, const RunSettings& now) {
    return replay(run_, id, engine, now, options_for(run_ + "r").keep);
  }
};

// Any finished candidate comes out again, bit for bit, also one that descends from others' states;
// whatever the engine's way of scheduling, and without its siblings.
TEST_F(ReplayTest, MakesACandidateAgain) {
  SyntheticEngine engine;
  const RunView view = run(run_, engine, std::make_unique<testing::Pairs>()).view;
  std::size_t resampled = 0;
  for (const TrajectoryRecord& trajectory : view.trajectories)
    resampled += trajectory.resamplings.size();
  ASSERT_GT(resampled, 1u) << "else this shows nothing";
  ASSERT_EQ(trajectory(view, 3).end, TrajectoryRecord::End::kDropped)
      << "an ancestor that ended early";
  for (CandidateId id = 0; id < 3; ++id) {
    for (const Hands hands : {Hands::kOne, Hands::kMany}) {
      SyntheticEngine other(hands);
      const Replayed replayed = again(id, other, view.settings);
      EXPECT_TRUE(replayed.recorded);
      EXPECT_TRUE(replayed.equal) << candidate_name(id);
      EXPECT_EQ(replayed.difference, "");
    }
  }
}

// One that was dropped shows what it would have become, at the cost of itself alone.
TEST_F(ReplayTest, BringsADroppedOneToItsEnd) {
  SyntheticEngine engine;
  const RunView view =
      run(run_, engine, halving({.seeds = {1, 2}, .steps = 20, .rungs = {5}})).view;
  const CandidateId dropped = trajectory(view, 0).end == TrajectoryRecord::End::kDropped ? 0 : 1;
  SyntheticEngine other(Hands::kAtATime);
  const Replayed replayed = again(dropped, other, view.settings);
  EXPECT_FALSE(replayed.recorded);
  EXPECT_EQ(other.forwards, 40);
  EXPECT_EQ(std::stod(read_file(replayed.path)),
            1000 * testing::quality_of(static_cast<std::uint64_t>(dropped) + 1));
}

// What comes out otherwise is said to, with what differs between then and now.
TEST_F(ReplayTest, NamesWhatDiffers) {
  SyntheticEngine engine;
  const RunView view = run(run_, engine, best_of_n({.seeds = {1}})).view;
  RunSettings now = view.settings;
  SyntheticEngine other;
  other.offset = 0.5;
  Replayed replayed = again(0, other, now);
  EXPECT_TRUE(replayed.recorded);
  EXPECT_FALSE(replayed.equal);
  EXPECT_EQ(replayed.difference, "") << "nothing that is known of";
  now.versions = "later";
  EXPECT_EQ(again(0, other, now).difference, "its version was test and is now later");
  other.what.id = "synthetic/2";
  EXPECT_EQ(again(0, other, now).difference, "its engine was synthetic/1 and is now synthetic/2");
}

// What is not there, or fails again, is an error.
TEST_F(ReplayTest, ErrorsAreNamed) {
  SyntheticEngine engine;
  const RunView view = run(run_, engine, best_of_n({.seeds = {1}})).view;
  EXPECT_EQ(code_of([&] { again(7, engine, view.settings); }), "candidate_missing");
  engine.breaks = {{1, 3}};
  try {
    again(0, engine, view.settings);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "nan_latents");
  }
}

}  // namespace
}  // namespace bestreel
