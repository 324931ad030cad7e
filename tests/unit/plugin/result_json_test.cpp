#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"
#include "plugin/result.h"

namespace bestreel {
namespace {

Judgement full() {
  Judgement judgement;
  judgement.dimensions = {
      {"visual_quality", 4, 4.1 / 3, 0.2, std::array{0.1, 0.2, 0.3, 0.1, 0.3}, 0.5},
      {"physics", 1, 1.0, {}, {}, {}}};
  judgement.reward = 0.1 + 0.2;
  judgement.rationale = "line\n\"quoted\" \xE2\x80\x93 \xF0\x9F\x8E\xAC";
  judgement.measures = {{"zeta", 1e-300}, {"alpha", 2}};
  judgement.frames = {0, 4, 8};
  judgement.judge = "x/1";
  judgement.seconds = 1.25;
  judgement.transcript = Transcript{true, {5, 34, 60}, {1, 2}, {3}, {0}, "ab"};
  return judgement;
}

// What is written is read back to the last bit, in the same order.
TEST(ResultJson, RoundTrips) {
  const std::string text = to_json(full());
  EXPECT_EQ(to_json(result_from_json(text)), text);
  const auto again = std::get<Judgement>(result_from_json(text));
  EXPECT_EQ(again.reward, 0.1 + 0.2);
  EXPECT_EQ(again.dimensions[0].expected, 4.1 / 3);
  EXPECT_EQ(again.measures[0].first, "zeta");
  EXPECT_EQ(again.transcript->grid_thw[2], 60);
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

// The form that score --json promises.
TEST(ResultJson, HasAFixedForm) {
  Judgement judgement;
  judgement.dimensions = {{"q", 4, 3.5, {}, {}, {}}};
  judgement.reward = 3.5;
  judgement.frames = {1};
  judgement.judge = "j";
  judgement.seconds = 2;
  EXPECT_EQ(to_json(judgement),
            R"({"dimensions":[{"name":"q","score":4,"expected":3.5}],"reward":3.5,"rationale":"",)"
            R"("measures":{},"frames":[1],"judge":"j","seconds":2.0})");
  EXPECT_EQ(to_json(judgement, false).find("seconds"), std::string::npos);
  EXPECT_EQ(to_json(Failure{"c", "s"}), R"({"failure":{"code":"c","sentence":"s"}})");
}

// A file name of any bytes in a sentence does not break the JSON.
TEST(ResultJson, InvalidUtf8IsReplaced) {
  const auto again = std::get<Failure>(result_from_json(to_json(Failure{"c", "a\xFFz"})));
  EXPECT_EQ(again.sentence, "a\xEF\xBF\xBDz");
}

// A score that is no number is refused, not written as null.
TEST(ResultJson, RefusesNaN) {
  Judgement judgement = full();
  judgement.reward = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(to_json(judgement), Error);
}

// Two measures of one name would become one.
TEST(ResultJson, RefusesMeasuresOfOneName) {
  Judgement judgement = full();
  judgement.measures = {{"a", 1}, {"a", 2}};
  EXPECT_THROW(to_json(judgement), Error);
}

// A field of another kind or size is refused, not converted.
TEST(ResultJson, RefusesConversions) {
  const std::string good = to_json(full());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_NO_THROW(result_from_json(good));
  for (const std::string& text :
       {with("\"score\":4", "\"score\":4.5"), with("\"score\":4", "\"score\":true"),
        with("\"score\":4", "\"score\":99999999999"), with("\"std\":0.5", "\"std\":null"),
        with("[0.1,0.2,0.3,0.1,0.3]", "[0.1,0.2,0.3,0.1,0.3,0.0]"), with("[5,34,60]", "[5,34]"),
        with("\"forced\":true", "\"forced\":1"), with("\"seconds\":1.25", "\"seconds\":1e999"),
        with("[0,4,8]", "[0,18446744073709551615]"),
        with("\"measures\":{", "\"measures\":[],\"m\":{")}) {
    try {
      result_from_json(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "json_malformed");
    }
  }
}

TEST(ResultJson, RefusesWhatIsNoResult) {
  for (const char* text : {"", "{", "[]", "{\"reward\":1}", "{\"failure\":{}}"}) {
    EXPECT_THROW(result_from_json(text), Error) << text;
  }
}

}  // namespace
}  // namespace bestreel
