#include "examples/tinyworld/render.h"

#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"

namespace bestreel::tinyworld {
namespace {

std::vector<Scene> every_single_scene() {
  std::vector<Scene> scenes;
  for (int size = 0; size < 2; ++size) {
    for (int colour = 0; colour < 6; ++colour) {
      for (int shape = 0; shape < 3; ++shape) {
        for (int motion = 0; motion < 6; ++motion) {
          for (int ground = 0; ground < 4; ++ground) {
            scenes.push_back({{{static_cast<Size>(size), static_cast<Colour>(colour),
                                static_cast<Shape>(shape), static_cast<Motion>(motion)}},
                              static_cast<Background>(ground)});
          }
        }
      }
    }
  }
  return scenes;
}

// Every prompt that the grammar makes is read back as the scene it came from.
TEST(Scene, PromptsAreReadBack) {
  std::set<std::string> prompts;
  for (const Scene& scene : every_single_scene()) {
    prompts.insert(to_prompt(scene));
    EXPECT_EQ(parse_prompt(to_prompt(scene)), scene);
  }
  EXPECT_EQ(prompts.size(), 864U);
  const Scene two = parse_prompt(
      "A Large blue square  stays still and a small white triangle falls and bounces over a navy "
      "background");
  ASSERT_EQ(two.objects.size(), 2U);
  EXPECT_EQ(two.objects[1].motion, Motion::kBounce);
  EXPECT_EQ(parse_prompt(to_prompt(two)), two);
}

// A prompt of another world is refused with the grammar, and with the word where it went wrong.
TEST(Scene, ForeignPromptsAreRefused) {
  for (const char* prompt :
       {"", "a dog", "a small red circle", "a small red blob moves left over a gray background",
        "a small red circle moves left over a gray background today"}) {
    try {
      parse_prompt(prompt);
      FAIL() << prompt;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "prompt_foreign");
      EXPECT_NE(std::string(error.what()).find("SIZE COLOUR SHAPE MOTION"), std::string::npos);
    }
  }
}

// The splits part the prompts eight to one to one, and a drawn scene is of the split that was
// asked.
TEST(Scene, SplitsAreDisjointAndBalanced) {
  std::array<int, 3> count{};
  for (const Scene& scene : every_single_scene()) ++count[std::size_t(split_of(scene))];
  EXPECT_GT(count[0], 8 * 864 / 10 - 60);
  EXPECT_GT(count[1], 50);
  EXPECT_GT(count[2], 50);
  Random random(1);
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(split_of(random_scene(random, Split::kTest)), Split::kTest);
}

// One seed gives one clip; another seed, another clip.
TEST(Render, IsDeterministic) {
  const Scene scene = parse_prompt("a small red circle moves left over a gray background");
  const std::vector<Flaw> flaws{{FlawKind::kNoise, 0.3}, {FlawKind::kTeleport, 0.5}};
  EXPECT_EQ(render(scene, flaws, 7).data, render(scene, flaws, 7).data);
  EXPECT_NE(render(scene, flaws, 7).data, render(scene, flaws, 8).data);
}

// Neighbouring seeds give independent streams: no number of one appears in the next.
TEST(Random, NeighbouringSeedsAreIndependent) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    for (int i = 0; i < 50; ++i) seen.insert(random.bits());
  }
  EXPECT_EQ(seen.size(), 2500U);
}

// Each flaw changes the clip, and more of a flaw changes it more.
TEST(Render, FlawsAreGraded) {
  const Scene scene = parse_prompt("a large green square moves right over a brown background");
  const auto distance = [&](FlawKind kind, double severity) {
    const Clip clean = render(scene, {}, 3);
    const Clip bad = render(scene, {{kind, severity}}, 3);
    double sum = 0;
    for (std::size_t i = 0; i < clean.data.size(); ++i)
      sum += std::abs(int(clean.data[i]) - int(bad.data[i]));
    return sum;
  };
  for (std::size_t i = 0; i < kFlawNames.size(); ++i) {
    const auto kind = static_cast<FlawKind>(i);
    EXPECT_GT(distance(kind, 0.2), 0) << kFlawNames[i];
    if (aspect_of(kind) != Aspect::kText)
      EXPECT_GT(distance(kind, 1.0), distance(kind, 0.2)) << kFlawNames[i];
  }
}

// An unknown flaw is refused with the names that there are.
TEST(Render, UnknownFlawsAreRefused) {
  try {
    flaw_from_name("sepia");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "flaw_unknown");
    EXPECT_NE(std::string(error.what()).find("teleport"), std::string::npos);
  }
}

// Alignment counts what is wrong with the object that fits best, in whatever order objects are
// named.
TEST(Alignment, ComparesTheBestFit) {
  const Scene asked = parse_prompt(
      "a small red circle moves left and a large blue square moves up over a gray background");
  Scene shown = asked;
  std::swap(shown.objects[0], shown.objects[1]);
  EXPECT_EQ(misalignment(asked, shown), 0);
  shown.objects[0].colour = Colour::kGreen;
  EXPECT_DOUBLE_EQ(misalignment(asked, shown), kColourWeight / 2);
  shown.objects.pop_back();
  EXPECT_DOUBLE_EQ(misalignment(asked, shown), (kColourWeight + 1) / 2);
  EXPECT_EQ(misalignment(asked, {{}, asked.background}), 1);
  shown = asked;
  shown.objects.push_back(shown.objects[0]);
  EXPECT_DOUBLE_EQ(misalignment(asked, shown), kSurplusWeight);
}

}  // namespace
}  // namespace bestreel::tinyworld
