// What a word means as an option's value, and what is refused with which sentence.
#include "plugin/options.h"

#include <gtest/gtest.h>

#include "app/commands.h"
#include "core/base/error.h"

namespace bestreel {
namespace {

using enum OptionKind;

OptionValue parsed(const OptionSpec& spec, const std::string& word) {
  return parse_option("test", spec, std::span(&word, 1));
}

/// The sentence of the refusal; "" where the word is taken.
std::string refusal(const OptionSpec& spec, const std::string& word) {
  try {
    parsed(spec, word);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

OptionSpec integer() { return {.name = "steps", .kind = kInteger, .low = 1, .high = 1000}; }
OptionSpec real() { return {.name = "guidance", .kind = kReal}; }

TEST(OptionValue, NumbersAreTakenWhole) {
  EXPECT_EQ(parsed(integer(), "50"), OptionValue(std::int64_t{50}));
  EXPECT_EQ(parsed(real(), "-2.5e1"), OptionValue(-25.0));
  for (const char* word :
       {"", " 5", "5 ", "5x", "0x5", "5.0", "1e3", "five", "99999999999999999999"})
    EXPECT_NE(refusal(integer(), word), "") << word;
  for (const char* word : {"", "nan", "inf", "-inf", "1e999", "5,", "5 ", "1.5x"})
    EXPECT_NE(refusal(real(), word), "") << word;
}

TEST(OptionValue, RangesAreNamed) {
  EXPECT_EQ(refusal(integer(), "0"), "[test] steps must be between 1 and 1000, but got 0");
  EXPECT_EQ(refusal(integer(), "1x"),
            "[test] steps must be a whole number between 1 and 1000, but got 1x");
  const OptionSpec forwards{.name = "max-forwards", .kind = kReal, .low = 0, .above = true};
  EXPECT_EQ(refusal(forwards, "0.5"), "");
  EXPECT_EQ(refusal(forwards, "0"), "[test] max-forwards must be positive, but got 0");
  EXPECT_EQ(refusal(forwards, "nan"), "[test] max-forwards must be a number above 0, but got nan");
  const OptionSpec factor{.name = "reduction-factor", .kind = kReal, .low = 1, .above = true};
  EXPECT_EQ(refusal(factor, "1"), "[test] reduction-factor must be above 1, but got 1");
}

TEST(OptionValue, AWordMayStandForZero) {
  const OptionSpec spec{.name = "rationale", .kind = kInteger, .low = 0, .high = 9, .zero = "none"};
  EXPECT_EQ(parsed(spec, "none"), OptionValue(std::int64_t{0}));
  EXPECT_EQ(option_words(spec, std::int64_t{0}), std::vector<std::string>{"none"});
  EXPECT_NE(refusal(spec, "no").find("or none, but got no"), std::string::npos);
}

TEST(OptionValue, SeedsHaveAllOf64Bits) {
  const OptionSpec drawn{.name = "seed", .kind = kSeed};
  EXPECT_EQ(parsed(drawn, "18446744073709551615"), OptionValue(~std::uint64_t{0}));
  EXPECT_EQ(parsed(drawn, "-1"), OptionValue(std::int64_t{-1}));
  EXPECT_NE(refusal(drawn, "-2"), "");
  EXPECT_NE(refusal(drawn, "18446744073709551616"), "");
  EXPECT_NE(refusal({.name = "judge-seed", .kind = kSeed, .low = 0}, "-1"), "");
}

TEST(OptionValue, SizesAndLists) {
  const OptionSpec size{.name = "size", .kind = kSize, .low = 1, .high = 99, .example = "64x48"};
  EXPECT_EQ(parsed(size, "64x48"), OptionValue(std::vector<std::int64_t>{64, 48}));
  for (const char* word : {"64x", "x48", "64", "64x48x", "0x48", "64x100", "wide", "64x-48", ""})
    EXPECT_NE(refusal(size, word).find("WIDTHxHEIGHT, such as 64x48"), std::string::npos) << word;
  const OptionSpec list{.name = "cascade", .kind = kIntegers, .low = 1, .example = "8,3"};
  EXPECT_EQ(parsed(list, "8,3"), OptionValue(std::vector<std::int64_t>{8, 3}));
  for (const char* word : {"8,", ",3", "8,,3", "two", "8;3", "", "0", "8,3.5"})
    EXPECT_NE(refusal(list, word).find("such as 8,3"), std::string::npos) << word;
}

TEST(OptionValue, AChoiceNamesTheNearest) {
  const OptionSpec spec{.name = "strategy", .kind = kChoice, .choices = {"best-of-n", "halving"}};
  EXPECT_EQ(parsed(spec, "halving"), OptionValue(std::string("halving")));
  EXPECT_EQ(refusal(spec, "halvin"),
            "[test] strategy must be best-of-n or halving, but got halvin, did you mean halving?");
  EXPECT_EQ(refusal(spec, "luck"), "[test] strategy must be best-of-n or halving, but got luck");
}

TEST(OptionValue, OnceMeansOnce) {
  const std::vector<std::string> twice{"4", "8"};
  EXPECT_THROW(parse_option("test", integer(), twice), UsageError);
  EXPECT_EQ(parse_option("test", {.name = "lora", .kind = kPaths}, twice), OptionValue(twice));
}

TEST(OptionValue, WordsParseToTheValueAgain) {
  for (const app::CommandSpec& command : app::commands()) {
    for (const OptionSpec& spec : command.options) {
      if (spec.fallback.empty()) continue;
      const OptionValue value = parsed(spec, spec.fallback);
      EXPECT_EQ(parse_option("test", spec, option_words(spec, value)), value) << spec.name;
    }
  }
}

TEST(NearestName, IsASlipAndNoGuess) {
  const std::vector<std::string> names{"negative-prompt", "guidance", "num-frames", "n"};
  EXPECT_EQ(nearest_name("negative", names), "negative-prompt");
  EXPECT_EQ(nearest_name("Guidence", names), "guidance");
  EXPECT_EQ(nearest_name("num_frame", names), "num-frames");
  EXPECT_EQ(nearest_name("nonsense", names), "");
}

/// Every command's table: names are unique, aliases among them, and letters too.
TEST(Commands, NamesAreUnique) {
  for (const app::CommandSpec& command : app::commands()) {
    std::vector<std::string> names = command.names();
    std::string letters;
    for (const OptionSpec& spec : command.options) {
      if (spec.letter == 0) continue;
      EXPECT_EQ(letters.find(spec.letter), std::string::npos) << command.name << " " << spec.letter;
      letters += spec.letter;
    }
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << command.name;
  }
}

}  // namespace
}  // namespace bestreel
