#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "reward/videoscore2/profile.h"

namespace bestreel::videoscore2 {
namespace {

std::string card(const std::string& code) {
  return "---\nlicense: mit\n---\n# Model\n\n```bash\npip install x\n```\n\n```python\n" + code +
         "\n```\nMore text with NAME = \"\"\"$t2v_prompt\"\"\" outside.\n";
}

std::string text_of(const std::string& markdown) {
  const auto found = template_from_model_card(markdown, "README.md");
  return found ? found->text : "none";
}

// The text between the quotes is taken byte for byte: indents, trailing blanks, dashes, typos.
TEST(ModelCard, GivesItsTemplateByteForByte) {
  const std::string text =
      "\n    Rate it – integars in 1 - 5. \n\tPrompt: $t2v_prompt.\n\n  (1) visual quality: \n";
  const auto found = template_from_model_card(
      card("from string import Template\n\nVS2_QUERY_TEMPLATE = Template(\"\"\"" + text +
           "\"\"\")\nprint(1)"),
      "F/README.md");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->text, text);
  EXPECT_EQ(found->source, "F/README.md (VS2_QUERY_TEMPLATE)");
  EXPECT_EQ(found->hash, sha256(text));
  EXPECT_FALSE(found->fallback);
}

// Every way in which Python writes the same assignment.
TEST(ModelCard, ReadsPythonAsPythonDoes) {
  const std::string expected = "Rate\n$t2v_prompt";
  for (const std::string code : {
           "T = Template(\"\"\"Rate\n$t2v_prompt\"\"\")",
           "T = Template('''Rate\n$t2v_prompt''')",
           "T = string.Template( '''Rate\n$t2v_prompt''' )  # comment",
           "T = Template(\n    \"\"\"Rate\n$t2v_prompt\"\"\",\n)",
           "T = \"\"\"Rate\n$t2v_prompt\"\"\"",
           "T: str = (\"\"\"Rate\n$t2v_prompt\"\"\")",
           "    T = u'''Rate\n$t2v_prompt'''",
           "T = r'''Rate\n$t2v_prompt'''",
           "T = '''Rate\\n$t2v_prompt'''",
           "T = '''\\\nRate\n\\\n$t2v_prompt'''",
           "T = '''\\x52\\141\\u0074\\U00000065\n$t2v_prompt'''",
           "x = 'T = \"'; y = \"#\"\nT = '''Rate\n$t2v_prompt''';",
           "# T = '''Wrong $t2v_prompt'''\nT = '''Rate\n$t2v_prompt'''",
           "print('''\nT = \"\"\"Wrong $t2v_prompt\"\"\"\n''')\nT = '''Rate\n$t2v_prompt'''",
           "T = '''Wrong'''\nT2 = '''Rate\n$t2v_prompt'''",
           "T = '''Wrong $t2v_prompts'''\nT2 = '''Rate\n$t2v_prompt'''",
       }) {
    EXPECT_EQ(text_of(card(code)), expected) << code;
  }
  EXPECT_EQ(text_of(card("T = r'''\\n\\'$t2v_prompt'''")), "\\n\\'$t2v_prompt");
  EXPECT_EQ(text_of(card("T = '''\\q \\\\ \\' \\t $t2v_prompt'''")), "\\q \\ ' \t $t2v_prompt");
  EXPECT_EQ(text_of(card("T = '''\\u2013 – $t2v_prompt'''")), "– – $t2v_prompt");
}

// A card with CRLF is what the same card with LF is, as in Python; tildes and open fences are
// fences.
TEST(ModelCard, TakesEveryFenceAndLineEnd) {
  EXPECT_EQ(text_of("```python\r\nT = '''a \r\n$t2v_prompt\r\n'''\r\n```\r\n"),
            "a \n$t2v_prompt\n");
  EXPECT_EQ(text_of("~~~\nT = '''$t2v_prompt'''\n~~~\n"), "$t2v_prompt");
  EXPECT_EQ(text_of("  ````py\nT = '''```$t2v_prompt'''\n  ````\n"), "```$t2v_prompt");
  EXPECT_EQ(text_of("```\nT = '''$t2v_prompt'''\n"), "$t2v_prompt");
  EXPECT_EQ(text_of("text\n```a`b\nT = '''$t2v_prompt'''\n"), "none");
  EXPECT_EQ(text_of("T = '''$t2v_prompt'''\n"), "none");
  EXPECT_EQ(text_of(card("T = '''no placeholder'''")), "none");
  EXPECT_EQ(text_of(card("T = \"$t2v_prompt\"")), "none");
  EXPECT_EQ(text_of(""), "none");
}

// With two templates the first counts, and the source says that there were two.
TEST(ModelCard, NotesASecondTemplate) {
  const auto found = template_from_model_card(
      card("A = '''one $t2v_prompt'''\nB = '''two $t2v_prompt'''"), "README.md");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->text, "one $t2v_prompt");
  EXPECT_EQ(found->source, "README.md (A, the first usable of 2)");
}

// A text that only running the program would give is refused, with the remedy, and never guessed.
TEST(ModelCard, RefusesWhatOnlyPythonKnows) {
  for (const std::string code : {"T = f'''{x} $t2v_prompt'''", "T = '''\n $t2v_prompt'''.strip()",
                                 "T = '''$t2v_prompt''' + extra", "T = b'''$t2v_prompt'''",
                                 "T = '''$t2v_prompt \\N{DASH}'''", "T = '''$t2v_prompt \\xZZ'''",
                                 "T = '''$t2v_prompt", "T = '''$t2v_prompt \\ud800'''"}) {
    try {
      template_from_model_card(card(code), "README.md");
      ADD_FAILURE() << code;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "template_malformed");
      EXPECT_NE(std::string(error.what()).find("--template"), std::string::npos);
    }
  }
}

// Placeholders are string.Template's: both spellings, `$$` is a dollar, all else is text.
TEST(QueryTemplate, SplitsAtItsPlaceholders) {
  const auto pieces = [](const std::string& text) { return QueryTemplate{text, "", ""}.pieces(); };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces("a$t2v_prompt."), (Pieces{"a", "."}));
  EXPECT_EQ(pieces("$t2v_prompt"), (Pieces{"", ""}));
  EXPECT_EQ(pieces("a${t2v_prompt}b$t2v_prompt"), (Pieces{"a", "b", ""}));
  EXPECT_EQ(pieces("$$5 $t2v_prompt_x $t2v_prompt-$5 ${t2v_promp} $$t2v_prompt"),
            (Pieces{"$5 $t2v_prompt_x ", "-$5 ${t2v_promp} $t2v_prompt"}));
}

class FindTemplate : public testing::Test {
 protected:
  FindTemplate()
      : folder_(testing::TempDir() + "bestreel_template_" +
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::create_directories(folder_);
  }
  ~FindTemplate() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::string folder_;
};

// A file given by the user wins over the model card, and its bytes stay as they are.
TEST_F(FindTemplate, PrefersTheUsersFile) {
  write("README.md", card("T = '''card $t2v_prompt'''"));
  const std::string path = write("mine.txt", "mine\r\n$t2v_prompt \n");
  const QueryTemplate found = find_template(folder_, path);
  EXPECT_EQ(found.text, "mine\r\n$t2v_prompt \n");
  EXPECT_EQ(found.source, path);
  EXPECT_EQ(find_template(folder_, "").text, "card $t2v_prompt");
}

// A card without a template, or no card, leaves our own wording, marked as such and complete.
TEST_F(FindTemplate, FallsBackToItsOwnWording) {
  for (const bool with_card : {false, true}) {
    if (with_card) write("README.md", "# A model\n");
    const QueryTemplate found = find_template(folder_, "");
    EXPECT_TRUE(found.fallback);
    EXPECT_EQ(found.pieces().size(), 2u);
    for (const ProfileDimension& dimension : videoscore2_profile().dimensions) {
      EXPECT_NE(found.text.find(dimension.label), std::string::npos);
    }
  }
}

// A user's file without the placeholder, or that is not there, is refused by name.
TEST_F(FindTemplate, RefusesABadFile) {
  const std::string path = write("bad.txt", "no placeholder, only $$t2v_prompt");
  try {
    find_template(folder_, path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "template_malformed");
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos);
  }
  EXPECT_THROW(find_template(folder_, folder_ + "/missing.txt"), Error);
}

// The block that is forced names every dimension by the label that the parser looks for.
TEST(Profile, ForcedBlockHasOnePrefixForEachDimension) {
  const Profile& profile = videoscore2_profile();
  ASSERT_EQ(profile.forced_prefix.size(), profile.dimensions.size());
  for (std::size_t i = 0; i < profile.dimensions.size(); ++i) {
    EXPECT_NE(profile.forced_prefix[i].find(profile.dimensions[i].label), std::string::npos);
  }
}

}  // namespace
}  // namespace bestreel::videoscore2
