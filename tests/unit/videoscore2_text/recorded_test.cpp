#include "reward/videoscore2/recorded.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace bestreel::videoscore2 {
namespace {

using Outputs = std::vector<std::string>;

/// The texts; a problem stands in angle brackets.
Outputs outputs(const std::string& bytes) {
  Outputs out;
  for (const RecordedAnswer& record : read_recorded(bytes, "answers.json"))
    out.push_back(record.problem.empty() ? record.text : "<" + record.problem + ">");
  return out;
}

// Each shape that recorded answers come in gives the same list.
TEST(ReadRecorded, TakesEveryShape) {
  const Outputs both = {"a\nb", "c"};
  EXPECT_EQ(outputs(R"(["a\nb", "c"])"), both);
  EXPECT_EQ(outputs(R"( [{"output": "a\nb", "video": 1}, {"output": "c"}])"), both);
  EXPECT_EQ(outputs(R"(["a\nb", {"output": "c"}])"), both);
  EXPECT_EQ(outputs("{\"output\": \"a\\nb\"}\n\n{\"output\": \"c\"}\r\n"), both);
  EXPECT_EQ(outputs("\"a\\nb\"\n\"c\"\n"), both);
  EXPECT_EQ(outputs("\xEF\xBB\xBF[\"a\\nb\", \"c\"]"), both);
  EXPECT_EQ(outputs("{\n \"output\":\n \"c\"}"), Outputs{"c"});
  EXPECT_EQ(outputs("[]"), Outputs{});
}

// Plain text is one answer, byte for byte, even where it begins like JSON.
TEST(ReadRecorded, LeavesPlainTextAlone) {
  for (const std::string text :
       {"<think>x</think>\n(1) visual quality: 4\n", "[Scene 1] A dog runs.", "{smiles} fine",
        "\"Quoted\" first words.\n(1) visual quality: 3"}) {
    EXPECT_EQ(outputs(text), Outputs{text});
  }
}

// One record that cannot be read says so with its place and leaves the others as they are.
TEST(ReadRecorded, ABadRecordLosesNoOther) {
  const struct {
    const char* bytes;
    std::size_t bad;  // its index
    const char* place;
  } cases[] = {
      {R"([{"output": "a"}, null, {"output": "c"}])", 1, "item 2"},
      {R"([{"output": "a"}, {"output": null}, {"output": "c"}])", 1, "item 2"},
      {R"([{"output": "a"}, {"text": "b"}, {"output": "c"}])", 1, "item 2"},
      {R"([{"output": "a"}, {"output" "b"}, {"output": "c"}])", 1, "item 2"},
      {R"([null, "b", "c"])", 0, "item 1"},
      {"[\"a\", \"b\",\n{\"output\": \"cut of", 2, "line 2"},
      {R"(["a", "b")", 2, "cut"},
      {R"(["a", "b"] trailing)", 2, "behind"},
      {"{\"output\": \"a\"}\n{\"output\": \"b\n{\"output\": \"c\"}\n", 1, "line 2"},
      {"{\"output\": \"a\"}\nnull\n\"c\"\n", 1, "line 2"},
      {"null\n\"b\"\n\"c\"\n", 0, "line 1"},
      {"\"a\"\n\"b\"\n{\"outp", 2, "line 3"},
      {R"([{"output": "a"}, "b", {"output": "c", "n": 1e999}])", 2, "out of range"},
  };
  EXPECT_EQ(outputs(R"(["a", "b", "c"])"), (Outputs{"a", "b", "c"}));
  for (const auto& [bytes, bad, place] : cases) {
    const Outputs got = outputs(bytes);
    ASSERT_EQ(got.size(), 3) << bytes;
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (i == bad) {
        EXPECT_TRUE(got[i].starts_with("<") && got[i].find(place) != std::string::npos)
            << bytes << " says " << got[i];
      } else {
        EXPECT_EQ(got[i], std::string(1, static_cast<char>('a' + i))) << bytes;
      }
    }
  }
}

// Python's numbers that JSON does not have cost nothing where they are not the answer, and are not
// looked for inside texts.
TEST(ReadRecorded, ReadsWhatPythonWrites) {
  EXPECT_EQ(outputs(R"([{"output": "NaN, Infinity", "score": NaN, "x": [-Infinity, Infinity]}])"),
            Outputs{"NaN, Infinity"});
  EXPECT_EQ(outputs("{\"score\": NaN, \"output\": \"a \\\" NaN\"}\n{\"output\": \"b\"}\n"),
            (Outputs{"a \" NaN", "b"}));
  EXPECT_EQ(outputs("{\n\"score\": NaN,\n\"output\": \"a\"}"), Outputs{"a"});
}

// UTF-16 of either order, with a mark or without, is read as UTF-8.
TEST(ReadRecorded, ReadsUtf16) {
  const std::u16string text = u"[\"a\u00e9\u5206\xD83D\xDE00\", \"b\"]";
  const Outputs want = {"a\xC3\xA9\xE5\x88\x86\xF0\x9F\x98\x80", "b"};
  for (const bool little : {true, false}) {
    for (const bool mark : {true, false}) {
      std::string bytes;
      for (const char16_t unit : (mark ? u"\xFEFF" : u"") + text) {
        const char low = static_cast<char>(unit & 0xFF), high = static_cast<char>(unit >> 8);
        bytes += little ? low : high;
        bytes += little ? high : low;
      }
      EXPECT_EQ(outputs(bytes), want) << little << mark;
    }
  }
  EXPECT_EQ(outputs(std::string("\xFF\xFE[\0\"\0a\0", 9)).size(), 1);  // cut
}

// A file without any record is an error that names it.
TEST(ReadRecorded, RefusesAnEmptyFile) {
  for (const char* bytes : {"", " \n ", "\xEF\xBB\xBF"}) {
    try {
      read_recorded(bytes, "answers.json");
      FAIL() << "nothing was read as something";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "recorded_malformed");
      EXPECT_NE(std::string(error.what()).find("answers.json"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace bestreel::videoscore2
