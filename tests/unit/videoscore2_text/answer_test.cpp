#include "reward/videoscore2/answer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bestreel::videoscore2 {
namespace {

constexpr const char* kRationale =
    "\n<think>\nThe frames are sharp, so Visual Quality: 5 would be tempting, or 3/5. The "
    "ground-truth "
    "of Dim-1: 'Visual Quality':\n4. Physical/Common-sense Consistency:\nthe ball falls upwards.\n";

ParsedAnswer parse(const std::string& text) { return parse_answer(text, videoscore2_profile()); }
ParsedAnswer parse_block(const std::string& block) {
  return parse(std::string(kRationale) + "</think>" + block);
}

/// "432", with a dot where a dimension has no score.
std::string digits(const ParsedAnswer& answer) {
  std::string text;
  for (const ParsedScore& score : answer.scores) {
    text += score.score ? static_cast<char>('0' + *score.score) : '.';
  }
  return text;
}

bool remarks_hold(const ParsedAnswer& answer, const std::string& part) {
  for (const std::string& remark : answer.remarks) {
    if (remark.find(part) != std::string::npos) return true;
  }
  return false;
}

struct Case {
  const char* name;
  std::string block;
  std::string expected;
};

class FinalBlocks : public testing::TestWithParam<Case> {};

// Every form that the model is known to write, and every form that a person would read without
// doubt, gives the scores of the final block and not of the rationale.
TEST_P(FinalBlocks, IsReadAsAPersonReadsIt) {
  const ParsedAnswer answer = parse_block(GetParam().block);
  EXPECT_EQ(digits(answer), GetParam().expected) << testing::PrintToString(answer.remarks);
  EXPECT_EQ(answer.complete, GetParam().expected.find('.') == std::string::npos);
  EXPECT_TRUE(answer.has_think_end);
}

INSTANTIATE_TEST_SUITE_P(
    WellFormed, FinalBlocks,
    testing::Values(
        Case{"plain",
             "\n\n(1) visual quality: 4\n(2) text-to-video alignment: 3\n"
             "(3) physical/common-sense consistency: 2\n",
             "432"},
        Case{"crlf",
             "\r\n\r\n(1) visual quality: 4\r\n(2) text-to-video alignment: 3\r\n"
             "(3) physical/common-sense consistency: 2\r\n",
             "432"},
        Case{"descriptors",
             "\n(1) visual quality – clarity, smoothness, artifacts: 4\n"
             "(2) text-to-video alignment – fidelity to the prompt: 3\n"
             "(3) physical/common-sense consistency – naturalness and physics plausibility: 2",
             "432"},
        Case{"descriptors_in_brackets",
             "\n(1) visual quality (clarity, 1-5): 4\n(2) text-to-video alignment (fidelity): 3\n"
             "(3) physical/common-sense consistency (naturalness): 2",
             "432"},
        Case{"bold_labels",
             "\n**(1) visual quality:** 4\n**(2) text-to-video alignment:** 3\n"
             "**(3) physical/common-sense consistency:** 2",
             "432"},
        Case{"bold_digits",
             "\n(1) **Visual Quality**: **4**\n(2) **Text-to-Video Alignment**: **3**\n"
             "(3) **Physical/Common-sense Consistency**: **2**",
             "432"},
        Case{"fractions_of_five",
             "\n(1) visual quality: 4/5\n(2) text-to-video alignment: 3 / 5\n"
             "(3) physical/common-sense consistency: 2 out of 5",
             "432"},
        Case{"bullets_without_numbers",
             "\n- Visual Quality: 4\n- Text-to-Video Alignment: 3\n* Physical consistency: 2",
             "432"},
        Case{"headings",
             "\n### Visual quality: 4\n### Alignment of text: 1\n## text alignment: 3\n"
             "#### common-sense consistency: 2",
             "432"},
        Case{"other_order",
             "\n(3) physical/common-sense consistency: 2\n(1) visual quality: 4\n"
             "(2) text-to-video alignment: 3",
             "432"},
        Case{"score_words",
             "\nVisual quality score: 4\nText-to-video alignment rating: 3\n"
             "Physical/common sense consistency score = 2",
             "432"},
        Case{"full_width",
             "\n（１）visual quality：４\n（２）text-to-video alignment：３\n"
             "（３）physical/common-sense consistency：２",
             "432"},
        Case{"curly_quotes",
             "\n(1) “visual quality”: ‘4’\n(2) “text‑to‑video alignment”: 3\n"
             "(3) “physical/common—sense consistency”: 2",
             "432"},
        Case{"one_line",
             "\n(1) visual quality: 4 (2) text-to-video alignment: 3 (3) physical/common-sense "
             "consistency: 2",
             "432"},
        Case{"semicolons",
             "visual quality: 4; text-to-video alignment: 3; physical/common-sense consistency: 2",
             "432"},
        Case{
            "commas",
            "\nvisual quality: 4, text-to-video alignment: 3, physical/common-sense consistency: 2",
            "432"},
        Case{"table",
             "\n| dimension | score |\n|---|---|\n| visual quality | 4 |\n"
             "| text-to-video alignment | 3 |\n| physical/common-sense consistency | 2 |",
             "432"},
        Case{"json",
             "\n{\"visual_quality\": 4, \"text-to-video alignment\": 3,\n"
             " \"physical/common-sense consistency\": 2}",
             "432"},
        Case{"digits_below",
             "\n**Visual Quality**:\n4\n\n(2) text-to-video alignment:\n**3/5**\n\n"
             "(3) physical/common-sense consistency\nScore: 2",
             "432"},
        Case{"comments_behind",
             "\n(1) visual quality: 4 - sharp: no blur\n(2) text-to-video alignment: 3. Two of 5 "
             "objects\n(3) physical/common-sense consistency: 2 (scale: 1-5)",
             "432"},
        Case{"dashes", "\nvisual quality - 4\ntext-to-video alignment – 3\nphysical consistency 2",
             "432"},
        Case{"written_as_float",
             "\n(1) visual quality: 4.0\n(2) text-to-video alignment: 3.\n"
             "(3) physical/common-sense consistency: 2.00",
             "432"},
        Case{"dim_prefix",
             "\nDim-1 'Visual Quality': 4\nDimension 2 - text-to-video alignment: 3\n"
             "Dim 3: Physical/Common-sense Consistency: 2",
             "432"},
        Case{"repeated_alike",
             "\n(1) visual quality: 4\n(2) text-to-video alignment: 3\n"
             "(3) physical/common-sense consistency: 2\n\n(1) visual quality: 4\n",
             "432"},
        Case{"end_of_turn",
             "\n(1) visual quality: 4\n(2) text-to-video alignment: 3\n"
             "(3) physical/common-sense consistency: 2<|im_end|>",
             "432"},
        Case{"prose_before",
             "\nThe visual quality: good overall, with 2 flaws.\nFinal scores:\n"
             "(1) visual quality: 4\n(2) text-to-video alignment: 3\n"
             "(3) physical/common-sense consistency: 2",
             "432"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    NeverGuessed, FinalBlocks,
    testing::Values(
        Case{"nothing", "", "..."},
        Case{"prose", "\nThe video earns 4 of 5 for its quality.", "..."},
        Case{"bare_numbers", "\n(1) 4\n(2) 3\n(3) 2", "..."},
        Case{"heading_and_next_item",
             "\n(1) visual quality:\n(2) text-to-video alignment: 3\n"
             "(3) physical/common-sense consistency: 2",
             ".32"},
        Case{"half_points",
             "\n(1) visual quality: 3.5\n(2) text-to-video alignment: 3\n"
             "(3) physical/common-sense consistency: 2",
             ".32"},
        Case{"out_of_range",
             "\n(1) visual quality: 0\n(2) text-to-video alignment: 7\n"
             "(3) physical/common-sense consistency: 10",
             "..."},
        Case{"negative", "\n(1) visual quality: -4\n(2) text-to-video alignment: −3", "..."},
        Case{"other_scale",
             "\n(1) visual quality: 4/10\n(2) text-to-video alignment: 3 out of 10\n"
             "(3) physical/common-sense consistency: 2%",
             "..."},
        Case{"ranges",
             "\n(1) visual quality: 3-4\n(2) text-to-video alignment: 3 or 4\n"
             "(3) physical/common-sense consistency: 2 to 3",
             "..."},
        Case{"lists", "\n(1) visual quality: 4, 3, 2\n(2) text-to-video alignment: 4 3", "..."},
        Case{"attached",
             "\nvisual quality: 4th\ntext-to-video alignment: 3½\nphysical consistency: 2k", "..."},
        Case{"contradiction",
             "\n(1) visual quality: 4\n(2) text-to-video alignment: 3\n(1) visual quality: 5\n"
             "(3) physical/common-sense consistency: 2",
             ".32"},
        Case{"cut_off", "\n(1) visual quality: 4\n(2) text-to-video alig", "4.."},
        Case{"ambiguous_label", "\nquality: 4\nconsistency: 2\nalignment: 3", "..."},
        Case{"foreign_label", "\n(1) audio quality: 4\n(2) overall visual quality: 3", "..."},
        Case{"mid_sentence", "\nI would not give visual quality: 5 here.", "..."},
        Case{"words", "\n(1) visual quality: four\n(2) text-to-video alignment: N/A", "..."},
        Case{"number_of_next_item", "\n(1) visual quality:\n\n2. The prompt is followed.", "..."}),
    [](const auto& info) { return info.param.name; });

/// The first line's value, over two sound lines.
std::string with_first(const std::string& value) {
  return "\n(1) visual quality: " + value +
         "\n(2) text-to-video alignment: 3\n(3) physical/common-sense consistency: 2";
}

// A number that is a part of something else is no score, and the other lines keep theirs.
TEST(ParseAnswer, TakesNoPartOfARangeAnArrowAComparisonACorrectionOrAScale) {
  ASSERT_EQ(digits(parse_block(with_first("4"))), "432");
  for (const char* value : {"2 -> 3",
                            "2->3",
                            "2 --> 3",
                            "2 → 3",
                            "2 ➔ 3",
                            "2 => 3",
                            "2 ⇒ 3",
                            "3~4",
                            "3 – 4",
                            "3…4",
                            "3..4",
                            "3:4",
                            "3 vs 4",
                            "3 but 4",
                            "3 (or 4)",
                            "3 (maybe 4)",
                            "3, maybe 4",
                            "<3",
                            "< 3",
                            "<=3",
                            ">3",
                            ">=3",
                            "≥3",
                            "≤ 3",
                            "~3",
                            "≈3",
                            "3+",
                            "3 or more",
                            "3 at most",
                            "3 ± 1",
                            "±3",
                            "4 (strong fit)/10",
                            "4 (good) out of 10",
                            "4 (out of 10)",
                            "4 (scale 1-10)",
                            "4 [good] /10",
                            "4 points out of 10",
                            "4 stars of 10",
                            "4分（满分10分）",
                            "4分/10分",
                            "4 (on a 10-point scale)",
                            "2 (should be 3)",
                            "2, no, 3",
                            "2 (revised to 3)",
                            "2 - actually 3",
                            "2; corrected: 3",
                            "3 (was 2)",
                            "3点5",
                            "3½",
                            "③④",
                            "$3-4$",
                            "\\frac{3}{10}",
                            "\\boxed{3.5}",
                            "\\boxed{3}/10"}) {
    EXPECT_EQ(digits(parse_block(with_first(value))), ".32") << value;
  }
  for (const char* label : {"visual quality (1-10): 4", "visual quality (out of 10): 4",
                            "visual quality, scale 0 to 100: 4", "visual quality /10: 4"}) {
    EXPECT_EQ(digits(parse_block("\n" + std::string(label) + "\ntext alignment: 3")), ".3.")
        << label;
  }
}

// A later line that says otherwise takes the score away, wherever the label stands in it.
TEST(ParseAnswer, ALaterCorrectionTakesTheScoreAway) {
  ASSERT_EQ(digits(parse_block(with_first("4") + "\nCorrection: visual quality: 4")), "432");
  for (const char* later : {"Correction: visual quality: 3", "I revise my visual quality to 3",
                            "So the visual quality should be 3.", "Visual quality -> 3"}) {
    EXPECT_EQ(digits(parse_block(with_first("4") + "\n" + later)), ".32") << later;
  }
  EXPECT_EQ(digits(parse_block(with_first("4") + "\nCorrection: 3 for the first.")), "...");
  EXPECT_EQ(digits(parse_block(with_first("4") + "\nNo correction is needed.")), "432");
}

// Signs of other scripts, LaTeX and numbers in circles are what a person reads them as.
TEST(ParseAnswer, ReadsOtherScriptsAndLatex) {
  for (const char* value : {"4。",
                            "4分",
                            "4 分",
                            "4点",
                            "4점",
                            "4、",
                            "4星",
                            "4★",
                            "４。",
                            "「4」",
                            "《4》",
                            "④",
                            "❹",
                            "4️⃣",
                            "$4$",
                            "$$4$$",
                            "\\(4\\)",
                            "\\[4\\]",
                            "\\boxed{4}",
                            "$\\boxed{4}$",
                            "\\textbf{4}",
                            "\\frac{4}{5}",
                            "$\\dfrac{4}{5}$",
                            "4分/5分",
                            "4分（很好）",
                            "4 (good)/5",
                            "4 stars",
                            "<4>",
                            "{4}",
                            "4 (2 flaws)",
                            "4 points out of 5"}) {
    EXPECT_EQ(digits(parse_block(with_first(value))), "432") << value;
  }
  EXPECT_EQ(digits(parse_block("\n① visual quality: 4\n② text-to-video alignment: 3\n"
                               "③ physical/common-sense consistency: 2")),
            "432");
  EXPECT_EQ(digits(parse_block("\n⑴ visual quality：4；⑵ text-to-video alignment：3；"
                               "⑶ physical/common-sense consistency：2。")),
            "432");
}

// JSON of any shape that names the labels is read by its structure.
TEST(ParseAnswer, ReadsJson) {
  const std::string fence = "\n```json\n", end = "\n```\n";
  for (
      const std::string json :
      {R"({"visual quality": 4, "text-to-video alignment": 3, "physical/common-sense consistency": 2})",
       R"({"visual_quality": "4/5", "text_alignment": "3", "physical_consistency": 2.0})",
       R"({"scores": {"Visual Quality": {"score": 4, "reason": "seen: 2 artifacts"},
            "Text-to-Video Alignment": {"rating": 3, "max": 5},
            "Physical/Common-sense Consistency": {"reason": "1: it floats", "score": "2"}}})",
       R"([{"dimension": "visual quality", "score": 4}, {"name": "text-to-video alignment", "value": 3},
            {"criterion": "(3) physical/common-sense consistency", "rating": 2, "n": [1, 2]},])",
       R"({"results": [{"aspect": "visual quality", "score": 4, "comment": "5 {of} \"6\""},
            {"aspect": "text-to-video alignment", "score": 3},
            {"aspect": "physical consistency", "score": 2}]})"}) {
    EXPECT_EQ(digits(parse_block(fence + json + end)), "432") << json;
    EXPECT_EQ(digits(parse_block("\n" + json)), "432") << json;
  }
  for (
      const std::string json :
      {R"({"visual quality": 3.5, "text-to-video alignment": 3, "physical consistency": 2})",
       R"({"visual quality": {"score": 4, "out_of": 10}, "text alignment": 3, "physical consistency": 2})",
       R"({"visual quality": [4, 5], "text alignment": 3, "physical consistency": 2})",
       R"({"visual quality": {"first": 4, "second": 5}, "text alignment": 3, "physical consistency": 2})",
       R"({"visual quality": null, "text alignment": 3, "physical consistency": 2})",
       R"({"visual quality": 4, "visual_quality": 5, "text alignment": 3, "physical consistency": 2})"}) {
    EXPECT_EQ(digits(parse_block("\n" + json)), ".32") << json;
  }
  const ParsedAnswer answer = parse(R"(<think>x</think>{"visual quality": {"score": "4"}})");
  EXPECT_EQ(answer.scores[0].offset,
            std::string(R"(<think>x</think>{"visual quality": {"score": ")").size());
}

// The offset points at the digit itself, in bytes of the whole text, behind multi-byte characters
// too.
TEST(ParseAnswer, OffsetsPointAtTheDigits) {
  const std::string text =
      "<think>…</think>\n（1）**visual quality**：４\n(2) text alignment: 3\n"
      "(3) physical consistency: “2”";
  const ParsedAnswer answer = parse(text);
  ASSERT_TRUE(answer.complete);
  EXPECT_EQ(text.substr(answer.scores[0].offset, 3), "４");
  EXPECT_EQ(text[answer.scores[1].offset], '3');
  EXPECT_EQ(text[answer.scores[2].offset], '2');
}

constexpr const char* kBlock =
    "\n\n(1) visual quality: 4\n(2) text-to-video alignment: 3\n"
    "(3) physical/common-sense consistency: 2\n";

// Only what follows the last </think> counts, however often it is written.
TEST(ParseAnswer, AnchorsAtTheLastThinkEnd) {
  const std::string fake =
      "</think>\n(1) visual quality: 1\n(2) text-to-video alignment: 1\n"
      "(3) physical/common-sense consistency: 1\n";
  const ParsedAnswer answer = parse("<think>the prompt says " + fake + "so </think>" + kBlock);
  EXPECT_EQ(digits(answer), "432");
  EXPECT_TRUE(remarks_hold(answer, "more than once"));
  EXPECT_NE(answer.rationale.find("the prompt says"), std::string::npos);
  EXPECT_EQ(digits(parse(std::string("<think>x</think></think>") + kBlock)), "432");
  EXPECT_EQ(digits(parse(std::string("<think>x</think>\n</think>\n") + kBlock)), "432");
}

// A </think> repeated behind the block does not hide it, but only a block that stands alone counts.
TEST(ParseAnswer, ReadsABlockBetweenDoubledTags) {
  const ParsedAnswer answer = parse(std::string("<think>x</think>") + kBlock + "</think>\n");
  EXPECT_EQ(digits(answer), "432");
  EXPECT_EQ(answer.rationale, "x");
  EXPECT_TRUE(remarks_hold(answer, "stands alone"));
  EXPECT_EQ(digits(parse(std::string("x</think>") + kBlock + "but no.</think>\n")), "...");
}

// A text without </think> gives scores only where a whole numbered block ends it, and says so.
TEST(ParseAnswer, WithoutThinkEndOnlyAWholeBlockAtTheEndCounts) {
  const ParsedAnswer answer = parse(std::string("<think>Visual quality: 5, I say.") + kBlock);
  EXPECT_EQ(digits(answer), "432");
  EXPECT_FALSE(answer.has_think_end);
  EXPECT_TRUE(remarks_hold(answer, "has no </think>"));
  EXPECT_EQ(answer.rationale, "Visual quality: 5, I say.\n\n");
  EXPECT_EQ(digits(parse(kBlock)), "432");
  for (const std::string text :
       {std::string(kRationale), std::string(kBlock) + "More thoughts follow.",
        std::string("visual quality: 4\ntext-to-video alignment: 3\nphysical consistency: 2"),
        std::string("(1) visual quality: 4\n(3) physical consistency: 2\n(2) text alignment: 3"),
        std::string("(1) visual quality: 4\n(2) text-to-video alignment: 3\n"),
        std::string(kBlock).substr(0, 60), std::string()}) {
    const ParsedAnswer missing = parse(text);
    EXPECT_EQ(digits(missing), "...") << text;
    EXPECT_FALSE(missing.complete);
    EXPECT_TRUE(remarks_hold(missing, "final block is missing")) << text;
  }
}

// A <think> opened again behind the block starts another rationale, which does not count.
TEST(ParseAnswer, IgnoresARationaleThatIsOpenedAgain) {
  const ParsedAnswer answer =
      parse(std::string("<think>x</think>") + kBlock + "<think>visual quality: 1");
  EXPECT_EQ(digits(answer), "432");
  EXPECT_TRUE(remarks_hold(answer, "opened again"));
}

// Where the reference reads something else, both of its readings are shown and said.
TEST(ParseAnswer, SaysWhereFirstMatchGoesWrong) {
  const ParsedAnswer answer = parse_block(kBlock);
  EXPECT_EQ(answer.scores[0].first_match, "5");  // the rationale's
  EXPECT_EQ(answer.scores[1].first_match, "3");
  EXPECT_EQ(answer.scores[2].first_match, "2");
  EXPECT_EQ(answer.scores[0].next_digit, '5');
  EXPECT_EQ(answer.scores[1].next_digit, '3');
  EXPECT_EQ(answer.scores[2].next_digit, '1');  // of "(1)": the published defect
  EXPECT_TRUE(answer.first_match_differs);
  EXPECT_TRUE(remarks_hold(answer,
                           "first-match reading finds 5 for 'visual quality', the final "
                           "block says 4"));
}

// A clean answer reads the same both ways, and there is nothing to remark.
TEST(ParseAnswer, HasNothingToSayOfACleanAnswer) {
  const ParsedAnswer answer = parse(std::string("<think>\nAll is well.\n</think>") + kBlock);
  EXPECT_TRUE(answer.complete);
  EXPECT_FALSE(answer.first_match_differs);
  EXPECT_TRUE(answer.remarks.empty()) << answer.remarks.front();
  EXPECT_EQ(answer.rationale, "\nAll is well.\n");
}

// The reference's pattern needs all labels with a bare colon: the descriptor form leaves it
// nothing.
TEST(ParseAnswer, FirstMatchMissesDescriptorForms) {
  const ParsedAnswer answer = parse(
      "<think>x</think>\n(1) visual quality – clarity: 4\n(2) text-to-video alignment: 3\n"
      "(3) physical/common-sense consistency: 2");
  EXPECT_EQ(digits(answer), "432");
  for (const ParsedScore& score : answer.scores) EXPECT_EQ(score.first_match, std::nullopt);
  EXPECT_TRUE(answer.first_match_differs);
}

// Why a dimension has no score is a sentence of its own.
TEST(ParseAnswer, SaysWhyAScoreIsMissing) {
  EXPECT_TRUE(remarks_hold(parse_block("\n(1) visual quality: 3.5"), "3.5 is no whole number"));
  EXPECT_TRUE(remarks_hold(parse_block("\n(1) visual quality: 4/10"), "not on a scale to 5"));
  EXPECT_TRUE(remarks_hold(parse_block("\n(1) visual quality: 3-4"), "more than one number"));
  EXPECT_TRUE(remarks_hold(parse_block("\nvisual quality: 3\nvisual quality: 4"), "both 3 and 4"));
  EXPECT_TRUE(remarks_hold(parse_block("\n(1) visual quality: 3"),
                           "'text-to-video alignment' has no score: the final block has no such"));
  EXPECT_TRUE(remarks_hold(parse_block("\n(2) visual quality: 3"), "carries the number 2"));
}

// Long and degenerate texts are read in time that grows with their length.
TEST(ParseAnswer, TakesHostileTexts) {
  for (const std::string unit :
       {"</think>", "(", "(1) visual quality ", "visual quality: 3-", "visual quality:\n",
        "text-to-", "\n", "visual quality: 3\n", "<think>", "\xEF\xBC", ":1"}) {
    std::string text = "</think>";
    while (text.size() < 200'000) text += unit;
    EXPECT_FALSE(parse(text).complete);
  }
}

}  // namespace
}  // namespace bestreel::videoscore2
