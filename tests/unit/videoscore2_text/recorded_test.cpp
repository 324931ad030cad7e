#include "reward/videoscore2/recorded.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace bestreel::videoscore2 {
namespace {

using Outputs = std::vector<std::string>;

// Each shape that recorded answers come in gives the same list.
TEST(ReadRecorded, TakesEveryShape) {
  const Outputs both = {"a\nb", "c"};
  EXPECT_EQ(read_recorded(R"(["a\nb", "c"])"), both);
  EXPECT_EQ(read_recorded(R"( [{"output": "a\nb", "video": 1}, {"output": "c"}])"), both);
  EXPECT_EQ(read_recorded(R"(["a\nb", {"output": "c"}])"), both);
  EXPECT_EQ(read_recorded("{\"output\": \"a\\nb\"}\n\n{\"output\": \"c\"}\r\n"), both);
  EXPECT_EQ(read_recorded("\"a\\nb\"\n\"c\"\n"), both);
  EXPECT_EQ(read_recorded("\xEF\xBB\xBF[\"a\\nb\", \"c\"]"), both);
  EXPECT_EQ(read_recorded("{\n \"output\":\n \"c\"}"), Outputs{"c"});
  EXPECT_EQ(read_recorded("[]"), Outputs{});
}

// Plain text is one answer, byte for byte, even where it begins like JSON.
TEST(ReadRecorded, LeavesPlainTextAlone) {
  for (const std::string text :
       {"<think>x</think>\n(1) visual quality: 4\n", "[Scene 1] A dog runs.", "{smiles} fine",
        "\"Quoted\" first words.\n(1) visual quality: 3"}) {
    EXPECT_EQ(read_recorded(text), Outputs{text});
  }
}

std::string error_of(const std::string& bytes) {
  try {
    read_recorded(bytes, "answers.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "recorded_malformed");
    return error.what();
  }
  return "no error";
}

// A broken file is refused with its name and the place.
TEST(ReadRecorded, NamesThePlaceOfAnError) {
  for (const auto& [bytes, place] : std::vector<std::pair<std::string, std::string>>{
           {"[\"a\",\n\"b\"", "line 2"},
           {"[\"a\",\n\n{\"output\": 3}]", "item 2"},
           {"[{\"text\": \"a\"}]", "item 1"},
           {"{\"output\": \"a\"}\n{\"output\": \"b\"\n", "line 2"},
           {"{\"output\": \"a\"}\n\n{\"outptu\": \"b\"}", "line 3"},
           {"{\"text\": \"a\"}", "the object"},
           {"[{\"output\": 1e999}]", "out of range"},
           {" \n ", "nothing"},
           {"", "nothing"}}) {
    const std::string message = error_of(bytes);
    EXPECT_NE(message.find("answers.json"), std::string::npos) << bytes;
    EXPECT_NE(message.find(place), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace bestreel::videoscore2
