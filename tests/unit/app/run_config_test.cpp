// A run's config as it is made, stored and read again.
#include "app/run_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace bestreel::app {
namespace {

using Json = nlohmann::json;

const CommandSpec& rank() { return *find_command("rank"); }

RunConfig ranked(GivenWords more = {}) {
  more.insert(
      {{"prompt", {"a cat"}}, {"judge", {"pixels"}}, {"video", {"clips"}}, {"out", {"run"}}});
  return config_from_words(rank(), more);
}

template <typename Work>
std::string refusal(Work&& work) {
  try {
    work();
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(RunConfig, RecipeAndPlaceAreApart) {
  const RunConfig config = ranked({{"threads", {"2"}}, {"memory", {"1G"}}, {"json", {}}});
  const Json recipe = Json::parse(recipe_json(config)), place = Json::parse(place_json(config));
  EXPECT_EQ(recipe["command"], "rank");
  EXPECT_EQ(recipe["prompt"], "a cat");
  EXPECT_EQ(recipe["threads"], 2);
  EXPECT_EQ(place["judge"], Json::array({"pixels"})) << "a name, no path";
  EXPECT_EQ(place["memory"], std::int64_t{1} << 30);
  for (const Json& json : {recipe, place}) {
    EXPECT_FALSE(json.contains("out")) << "what is written is said by each call itself";
    EXPECT_FALSE(json.contains("json"));
  }
}

TEST(RunConfig, StoredItIsReadAgain) {
  const RunConfig config =
      ranked({{"threads", {"2"}}, {"judge", {"judges/small"}}, {"cascade", {"2"}}});
  const RunConfig again = stored_config("run", "rank", recipe_json(config), place_json(config));
  EXPECT_EQ(recipe_json(again), recipe_json(config));
  EXPECT_EQ(place_json(again), place_json(config));
  EXPECT_TRUE(std::filesystem::path(again.values.list<std::string>("judge").at(0)).is_absolute());
}

/// Of a stored run nothing is obeyed that names a file to write.
TEST(RunConfig, AStoredPlaceWritesNothing) {
  const RunConfig config = ranked();
  ASSERT_NO_THROW(stored_config("run", "rank", recipe_json(config), place_json(config)));
  Json place = Json::parse(place_json(config));
  place["out"] = "/etc";
  EXPECT_THROW(stored_config("run", "rank", recipe_json(config), place.dump()), Error);
}

TEST(RunConfig, WhatIsGivenNowTakesThePlaceOfWhatIsStored) {
  const RunConfig config = ranked({{"judge", {"old"}}});
  const RunConfig now = config_from_words(*find_command("resume"), {{"judge", {"new"}}});
  const RunConfig again =
      stored_config("run", "rank", recipe_json(config), place_json(config), now.values);
  EXPECT_EQ(again.values.list<std::string>("judge"), std::vector<std::string>{"new"});
}

TEST(RunConfig, UnknownKeysAreRefusedWithTheNearest) {
  const auto open = [](const std::string& recipe) {
    return refusal([&] { config_from_json(host_command(), "best_of_n", recipe, "{}"); });
  };
  ASSERT_EQ(open(R"({"prompt": "a cat", "seeds": [0, 18446744073709551615], "samples": 2})"), "");
  EXPECT_EQ(open(R"({"negative": "x"})"),
            "[best_of_n] negative is no option of a run, did you mean negative-prompt?");
  EXPECT_NE(open(R"({"judge": ["pixels"]})").find("belongs to the place"), std::string::npos);
  for (const char* bad :
       {R"({"samples": 1.5})", R"({"samples": "2"})", R"({"seeds": [-1]})", R"({"seeds": 3})",
        R"({"prompt": 7})", R"({"strategy": "luck"})", "[]", "{"}) {
    EXPECT_NE(open(bad), "") << bad;
  }
}

TEST(RunConfig, BytesThatAreNoUtf8AreKept) {
  const RunConfig config = ranked({{"prompt", {"caf\xE9"}}, {"judge", {"/judges/caf\xE9"}}});
  const RunConfig again = stored_config("run", "rank", recipe_json(config), place_json(config));
  EXPECT_EQ(again.values.text("prompt"), "caf\xE9");
  EXPECT_EQ(again.values.list<std::string>("judge").at(0), "/judges/caf\xE9");
}

TEST(RunConfig, TheCommandLineMeansTheSame) {
  const RunConfig config = ranked({{"threads", {"2"}}, {"top", {"3"}}, {"single-file", {}}});
  const std::vector<std::string> line = command_line(config);
  ASSERT_GT(line.size(), 3u);
  EXPECT_EQ(line[1], "rank");
  EXPECT_EQ(line[2], std::filesystem::absolute("clips").string());
  EXPECT_NE(std::find(line.begin(), line.end(), "--single-file"), line.end());
  EXPECT_EQ(std::find(line.begin(), line.end(), "--rationale"), line.end()) << "a default";
}

TEST(RunConfig, AnotherStrategysOptionIsRefused) {
  const CommandSpec* generate = find_command("generate");
  if (generate == nullptr) GTEST_SKIP() << "this build has no engine";
  const auto given = [&](const GivenWords& words) {
    return refusal([&] { config_from_words(*generate, words); });
  };
  EXPECT_EQ(given({{"strategy", {"halving"}}, {"reduction-factor", {"3"}}}), "");
  EXPECT_EQ(given({{"strategy", {"race"}}, {"reduction-factor", {"3"}}}),
            "[generate] reduction-factor belongs to the strategy halving, but got it with race: "
            "leave it out");
  EXPECT_FALSE(config_from_words(*generate, {}).values.has("reduction-factor"));
}

}  // namespace
}  // namespace bestreel::app
