#include "examples/tinyworld/oracle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "core/media/video_writer.h"
#include "examples/tinyworld/oracle_judge.h"

namespace bestreel::tinyworld {
namespace {

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> rank(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
    for (std::size_t k = i; k < j; ++k) rank[order[k]] = static_cast<double>(i + j - 1) / 2;
    i = j;
  }
  return rank;
}

double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> x = ranks(a);
  const std::vector<double> y = ranks(b);
  const double n = static_cast<double>(x.size());
  const double mean = (n - 1) / 2;
  double xy = 0;
  double xx = 0;
  double yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

std::array<double, 3> severities(const Scene& scene, const std::vector<Flaw>& flaws,
                                 std::uint64_t seed) {
  return {severity_of(flaws, Aspect::kVisual),
          misalignment(scene, shown_instead(scene, flaws, seed)),
          severity_of(flaws, Aspect::kPhysical)};
}

// On rendered clips of prompts that nothing was tuned on, the truth of each dimension follows the
// severity of its flaws (Spearman at least 0.9) when flaws of all dimensions are mixed.
TEST(Oracle, FollowsTheSeverity) {
  FlawMix mix;
  for (std::size_t i = 0; i < kFlawNames.size(); ++i) mix.kinds.push_back(static_cast<FlawKind>(i));
  std::array<std::vector<double>, 3> want;
  std::array<std::vector<double>, 3> got;
  for (std::uint64_t seed = 100000; seed < 100400; ++seed) {
    Random random(seed);
    const Scene scene = random_scene(random, Split::kTest);
    const std::vector<Flaw> flaws = random_flaws(random, mix);
    Clip clip = render(scene, flaws, seed);
    if (seed % 2 == 0) chroma_round_trip(clip);
    const std::array<double, 3> severity = severities(scene, flaws, seed);
    const Verdict verdict = ask_oracle(clip, scene);
    for (std::size_t i = 0; i < 3; ++i) {
      want[i].push_back(-severity[i]);
      got[i].push_back(verdict.truth[i]);
      EXPECT_GE(verdict.truth[i], 1);
      EXPECT_LE(verdict.truth[i], 5);
    }
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_GE(spearman(want[i], got[i]), 0.9) << kDimensions[i];
}

// A flaw moves the other dimensions by at most a quarter of what it moves its own.
TEST(Oracle, DimensionsAreKeptApart) {
  for (std::size_t k = 0; k < kFlawNames.size(); ++k) {
    const auto kind = static_cast<FlawKind>(k);
    std::array<double, 3> drop{};
    for (std::uint64_t seed = 300; seed < 340; ++seed) {
      Random random(seed);
      const Scene scene = random_scene(random, Split::kTest);
      const Verdict clean = ask_oracle(render(scene, {}, seed), scene);
      const Verdict bad = ask_oracle(render(scene, {{kind, random.uniform(0.2, 1)}}, seed), scene);
      for (std::size_t i = 0; i < 3; ++i) drop[i] += clean.truth[i] - bad.truth[i];
    }
    const auto own = static_cast<std::size_t>(aspect_of(kind));
    EXPECT_GT(drop[own], 0) << kFlawNames[k];
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != own)
        EXPECT_LE(drop[i], drop[own] / 4) << kFlawNames[k] << " moves " << kDimensions[i];
    }
  }
}

// A flawless clip has a truth near 5 in every dimension, and the seen scene is the asked one.
TEST(Oracle, FlawlessIsFive) {
  int right = 0;
  for (std::uint64_t seed = 500; seed < 560; ++seed) {
    Random random(seed);
    const Scene scene = random_scene(random, Split::kTest);
    const Verdict verdict = ask_oracle(render(scene, {}, seed), scene);
    right += *std::min_element(verdict.truth.begin(), verdict.truth.end()) > 4.5 ? 1 : 0;
  }
  EXPECT_GE(right, 57);
}

// A clip without an object must not win by having nothing that could be wrong.
TEST(Oracle, AnEmptyClipIsWorthLittle) {
  const Scene scene = parse_prompt("a small red circle moves left over a gray background");
  Clip clip;
  clip.data.assign(std::size_t(kFrames) * kSide * kSide * 3, 128);
  const Verdict verdict = ask_oracle(clip, scene);
  EXPECT_TRUE(verdict.seen.objects.empty());
  EXPECT_LE(verdict.truth[0], 2);
  EXPECT_EQ(verdict.truth[1], 1);
  EXPECT_EQ(verdict.truth[2], 1);
}

// A shapeless blob is no circle.
TEST(Oracle, ABlobHasNoShape) {
  const Scene scene = parse_prompt("a large red circle moves left over a gray background");
  Clip clip;
  clip.data.assign(std::size_t(kFrames) * kSide * kSide * 3, 128);
  for (int t = 0; t < kFrames; ++t) {  // a cross that moves left
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const int dx = std::abs(x - 45 + 2 * t);
        const int dy = std::abs(y - 32);
        if (!((dx < 4 && dy < 16) || (dy < 4 && dx < 16))) continue;
        std::uint8_t* p = clip.frame(t) + (std::size_t(y) * kSide + x) * 3;
        p[0] = 225, p[1] = p[2] = 40;
      }
    }
  }
  const Verdict verdict = ask_oracle(clip, scene);
  ASSERT_EQ(verdict.seen.objects.size(), 1U);
  EXPECT_EQ(verdict.seen.objects[0].shape, Shape::kBlob);
  EXPECT_EQ(verdict.seen.objects[0].colour, Colour::kRed);
  EXPECT_EQ(verdict.seen.objects[0].motion, Motion::kLeft);
  EXPECT_LT(verdict.truth[1], 4);
}

// What the reasons name is what is wrong.
TEST(Oracle, NamesWhatIsWrong) {
  const Scene scene = parse_prompt("a large red triangle moves left over a navy background");
  const auto verdict = [&](FlawKind kind) {
    return ask_oracle(render(scene, {{kind, 0.8}}, 5), scene);
  };
  EXPECT_NE(verdict(FlawKind::kNoise).reason[0].find("noise"), std::string::npos);
  EXPECT_NE(verdict(FlawKind::kBlocking).reason[0].find("blocking"), std::string::npos);
  EXPECT_NE(verdict(FlawKind::kFlicker).reason[0].find("flicker"), std::string::npos);
  EXPECT_NE(verdict(FlawKind::kShape).reason[1].find("instead of triangle"), std::string::npos);
  EXPECT_NE(verdict(FlawKind::kBackground).reason[1].find("instead of navy"), std::string::npos);
  EXPECT_NE(verdict(FlawKind::kVanish).reason[2].find("vanish"), std::string::npos);
  EXPECT_NE(verdict(FlawKind::kPulse).reason[2].find("pulse"), std::string::npos);
  EXPECT_NE(verdict(FlawKind::kTeleport).reason[2].find("teleport"), std::string::npos);
}

// As a judge, from an mp4, it says nearly what it says of the pixels; a foreign prompt is that
// request's failure and leaves the others alone.
TEST(OracleJudge, ReadsFilesAndRefusesForeignPrompts) {
  const Scene scene = parse_prompt("a large red triangle moves left over a navy background");
  const Clip clip = render(scene, {{FlawKind::kPulse, 0.6}}, 9);
  const VideoPtr memory = to_video(clip);
  const std::string path =
      (std::filesystem::path(testing::TempDir()) / "bestreel_oracle_judge.mp4").string();
  VideoWriter writer(path, {.fps = {kFps, 1}, .crf = 10, .metadata = {}});
  std::vector<std::int64_t> all(kFrames);
  std::iota(all.begin(), all.end(), 0);
  writer.add(memory->read(all));
  writer.finish();

  const JudgePtr judge = make_oracle_judge();
  const std::vector<Request> requests{{memory, {to_prompt(scene), ""}},
                                      {open_video(path), {to_prompt(scene), ""}},
                                      {memory, {"a dog", ""}}};
  const std::vector<Result> results = judge->judge(requests, {});
  ASSERT_FALSE(failed(results[0]));
  ASSERT_FALSE(failed(results[1]));
  EXPECT_NEAR(std::get<Judgement>(results[0]).reward, std::get<Judgement>(results[1]).reward, 0.25);
  ASSERT_TRUE(failed(results[2]));
  EXPECT_EQ(std::get<Failure>(results[2]).code, "prompt_foreign");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace bestreel::tinyworld
