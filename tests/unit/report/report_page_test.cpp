// What the page holds, and that nothing hostile gets out of its text.
#include <array>
#include <cstdio>

#include "core/base/error.h"
#include "report_fixture.h"

namespace bestreel {
namespace {

using PageTest = ReportTest;

/// What a POSIX shell makes of a command line: its arguments.
std::vector<std::string> arguments_in_bash(const std::string& command, const std::string& script) {
  std::ofstream(script) << "printf '%s\\0' " << command << "\n";
  FILE* pipe = ::popen(("bash '" + script + "'").c_str(), "r");
  std::string bytes;
  std::array<char, 4096> block{};
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), pipe)) {
    bytes.append(block.data(), count);
  }
  ::pclose(pipe);
  std::vector<std::string> arguments;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = bytes.find('\0', at);
    arguments.push_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  return arguments;
}

/// Scores are bars with a text for who cannot see them; whiskers and histograms where they are
/// known.
TEST_F(PageTest, ScoresAreBars) {
  Judgement judged = judgement({{"visual_quality", 4}});
  judged.dimensions[0].std = 0.5;
  judged.dimensions[0].probabilities = {0, 0, 0.25, 0.5, 0.25};
  add("a.mp4", judged);
  const std::string html = page();
  EXPECT_NE(html.find("aria-label=\"visual quality: 4.00 of 5, plus or minus 0.50\""),
            std::string::npos);
  EXPECT_NE(html.find("<rect class=\"fill\" width=\"75.00%\""), std::string::npos);  // (4 - 1) / 4
  EXPECT_NE(html.find("class=\"whisker\" x1=\"62.50%\" x2=\"87.50%\""), std::string::npos);
  EXPECT_NE(html.find("1: 0 %; 2: 0 %; 3: 25 %; 4: 50 %; 5: 25 %"), std::string::npos);
}

/// The frames that the judge saw are ticks on a strip, and numbers.
TEST_F(PageTest, FramesSeen) {
  add("a.mp4", judgement({{"motion", 4}})).results[0] = [] {
    Judgement judged = judgement({{"motion", 4}});
    judged.frames = {0, 4, 8, 8};
    return judged;
  }();
  std::string strip = between(page(), "<svg class=\"strip\"", "</svg>");
  EXPECT_EQ(count_of(strip, "<line"), 3u);
  EXPECT_NE(strip.find("x1=\"45.0%\""), std::string::npos);  // the middle of frame 4 of 10
  EXPECT_NE(text_of(page()).find("The judge saw 3 of 10 frames: 0, 4, 8"), std::string::npos);

  judgement_at(0).frames = {0, 1, 2, 3, 9};
  EXPECT_NE(text_of(page()).find("5 of 10 frames: 0\u20133, 9"), std::string::npos);
  judgement_at(0).frames = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_NE(text_of(page()).find("The judge saw every frame (10)"), std::string::npos);
}

/// Rationales, raw measures, forced answers and failures are on the page, each in its own words.
TEST_F(PageTest, ShowsWhatEachJudgeSaid) {
  add("a.mp4", judgement({{"motion", 4}}));
  add("b.mp4", judgement({{"motion", 3}}));
  add("c.mp4", Failure{"video_corrupt", "[video] c.mp4 breaks off: render it again"});
  judgement_at(0).rationale = "The ball rolls.\nIt is red.";
  judgement_at(1).rationale = "The ball is blue.";
  judgement_at(1).measures = {{"mean_flow", 0.00431234}};
  judgement_at(1).transcript = Transcript{.forced = true};
  const std::string html = page(), text = text_of(html);
  EXPECT_NE(between(html, "id=\"why-1\"", "</details>").find("The ball rolls.\nIt is red."),
            std::string::npos);
  const std::string second = between(html, "id=\"v2\"", "</article>");
  EXPECT_NE(second.find("The ball is blue."), std::string::npos);
  EXPECT_NE(second.find("<dt>mean flow</dt><dd>0.004312</dd>"), std::string::npos);
  EXPECT_NE(second.find("Answer completed."), std::string::npos);
  EXPECT_EQ(count_of(html, "Answer completed."), 1u);
  EXPECT_NE(text.find("Could not be judged (1)"), std::string::npos);
  EXPECT_NE(text.find("[video] c.mp4 breaks off: render it again"), std::string::npos);
  EXPECT_EQ(between(html, "id=\"v3\"", "</article>").find("<video"), std::string::npos);
}

/// A video that one of two judges could not judge keeps its card, with the failure beside the
/// scores.
TEST_F(PageTest, PartialFailure) {
  add("a.mp4", judgement({{"motion", 4}}));
  view_.settings.judges = {"one", "two"};
  view_.candidates[0].results.push_back(Failure{"remote_timeout", "[remote] no answer: try later"});
  view_.candidates[0].reward.reset();
  const std::string card = between(page(), "id=\"v1\"", "</article>");
  EXPECT_NE(card.find("motion"), std::string::npos);
  EXPECT_NE(card.find("[remote] no answer: try later"), std::string::npos);
  EXPECT_EQ(text_of(page()).find("Could not be judged"), std::string::npos);
}

/// The prompt comes first, the settings and versions last.
TEST_F(PageTest, PromptAndSettings) {
  add("a.mp4", judgement({{"motion", 4}}));
  view_.settings.threads = 3;
  view_.settings.versions = "bestreel 0.1, libav 59";
  const std::string html = page();
  EXPECT_LT(html.find("a red ball</blockquote>"), html.find("<h1>"));
  EXPECT_NE(html.find("<dt>judge</dt><dd>stub (stub-1)</dd>"), std::string::npos);
  EXPECT_NE(html.find("<dt>threads</dt><dd>3</dd>"), std::string::npos);
  EXPECT_NE(html.find("<dt>versions</dt><dd>bestreel 0.1, libav 59</dd>"), std::string::npos);
}

/// The command on the page, pasted into a shell, gives the arguments of the run byte by byte.
TEST_F(PageTest, CommandCanBePasted) {
  const std::vector<std::string> command_line{"bestreel",
                                              "rank",
                                              "--prompt",
                                              "it's a \"dog\" & $HOME `x` \\ *",
                                              "two\nlines\tand tabs",
                                              "",
                                              "caf\xC3\xA9.mp4",
                                              "bad\xFF"
                                              "a\xC3.mp4",
                                              "evil\xE2\x80\xAEgpj.mp4",
                                              "~/x",
                                              "a=b",
                                              "'\x1b[31m\\'"};
  const std::string command =
      unescaped(between(page({.command = command_line}), "<code id=\"command\">", "</code>"));
  EXPECT_EQ(arguments_in_bash(command, (root_ / "script").string()), command_line);
  EXPECT_EQ(command.rfind("bestreel rank --prompt 'it'\\''s a", 0), 0u);
}

/// Whatever the run's texts hold, the page's markup stays ours.
TEST_F(PageTest, EscapesHostileText) {
  const std::string evil =
      "</blockquote></style><script>alert(1)</script><img src=x "
      "onerror=\"alert(2)\"> '\" {} {0} %s &lt;";
  Judgement judged = judgement({{evil, 4}});
  judged.rationale = evil;
  judged.measures = {{evil, 1}};
  judged.dimensions[0].probabilities = {0, 0, 0, 1, 0};
  add(evil, judged).path = file("v.mp4");
  add("b" + evil, judged);
  add("c" + evil, Failure{evil, evil});
  view_.settings.prompt = view_.settings.versions = evil;
  view_.settings.judges = view_.settings.judge_ids = {evil};
  const std::string html = page({.command = {"bestreel", evil}});
  EXPECT_EQ(count_of(html, "<script"), 1u);
  EXPECT_EQ(count_of(html, "<style"), 1u);
  EXPECT_EQ(count_of(html, "<img"), 0u);
  EXPECT_TRUE(attributes(html, "onerror").empty());
  EXPECT_EQ(unescaped(between(html, "dir=\"auto\">", "</blockquote>")), evil);
  for (const std::string& label : attributes(html, "aria-label")) {
    EXPECT_EQ(label.find('\n'), std::string::npos);
  }
}

/// Characters that would turn the reading order, controls and bytes that are not UTF-8 become
/// visible.
TEST_F(PageTest, ShowsUnreadableText) {
  view_.settings.prompt =
      "a\xE2\x80\xAE"
      "b\xE2\x81\xA6"
      "c\x01\x7F\xC2\x85"
      "d\xFF\xC0\xAF\xED\xA0\x80"
      "e\r\nf\rg";
  add("a.mp4", judgement({{"motion", 4}}));
  const std::string bad = "\uFFFD";
  EXPECT_EQ(between(page(), "dir=\"auto\">", "</blockquote>"), "a[U+202E]b[U+2066]c" + bad + bad +
                                                                   bad + "d" + bad + bad + bad +
                                                                   bad + bad + bad + "e\nf\ng");
}

/// The page asks for nothing: no address with a host, no style from elsewhere, and a policy that
/// lets the browser refuse all that is not the page's own.
TEST_F(PageTest, NeedsNoNetwork) {
  add("a.mp4", judgement({{"motion", 4}})).path = file("videos/a.mp4");
  add("b.mp4", judgement({{"motion", 3}}));
  const std::string html = page();
  for (const char* name : {"src", "href", "poster", "action", "srcset", "data"}) {
    for (const std::string& value : attributes(html, name)) {
      EXPECT_EQ(value.find("//"), std::string::npos) << value;
      EXPECT_TRUE(value.find(':') == std::string::npos || value.rfind("data:", 0) == 0) << value;
    }
  }
  EXPECT_EQ(html.find("url("), std::string::npos);
  EXPECT_EQ(html.find("@import"), std::string::npos);
  const std::string policy = attributes(html, "content").at(0);
  EXPECT_EQ(policy.rfind("default-src 'none'; media-src 'self' file: data:;", 0), 0u) << policy;
  EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
  EXPECT_TRUE(attributes(html, "style").empty());
}

/// Two reports of one run are the same bytes.
TEST_F(PageTest, Deterministic) {
  add("a.mp4", judgement({{"motion", 4}}));
  EXPECT_EQ(page(), page());
}

/// Numbers that are no numbers do not break the page.
TEST_F(PageTest, NotANumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Judgement judged = judgement({{"motion", nan}});
  judged.dimensions[0].std = nan;
  judged.measures = {{"flow", std::numeric_limits<double>::infinity()}};
  add("a.mp4", judged);
  add("b.mp4", judgement({{"motion", 1}}));
  EXPECT_EQ(page().find("nan"), std::string::npos);
}

/// A folder that cannot be made is an error that names it.
TEST_F(PageTest, FolderCannotBeMade) {
  const std::string blocked = file("blocked");
  try {
    write_report(blocked + "/out", view_);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "write_failed");
    EXPECT_NE(error.sentence().find(blocked + "/out"), std::string::npos);
  }
}

}  // namespace
}  // namespace bestreel
