// A folder of its own, hand-made runs, and a page read back as text.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "plugin/runs/report.h"

namespace bestreel {

inline std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

inline std::string unescaped(std::string text) {
  const std::vector<std::pair<std::string, std::string>> entities{{"&lt;", "<"},    {"&gt;", ">"},
                                                                  {"&quot;", "\""}, {"&#39;", "'"},
                                                                  {"&nbsp;", " "},  {"&amp;", "&"}};
  for (const auto& [entity, character] : entities) text = replaced(text, entity, character);
  return text;
}

/// What a reader reads: without tags, entities resolved.
inline std::string text_of(const std::string& html) {
  std::string text;
  bool inside = false;
  for (const char c : html) {
    if (c == '<') inside = true;
    if (!inside) text += c;
    if (c == '>') inside = false;
  }
  return unescaped(text);
}

inline std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++count;
  return count;
}

/// The text between the first `begin` and the next `end`; empty if there is none.
inline std::string between(const std::string& text, const std::string& begin,
                           const std::string& end) {
  const std::size_t from = text.find(begin);
  if (from == std::string::npos) return {};
  const std::size_t to = text.find(end, from + begin.size());
  if (to == std::string::npos) return {};
  return text.substr(from + begin.size(), to - from - begin.size());
}

/// Every value of the attributes `name`, entities resolved.
inline std::vector<std::string> attributes(const std::string& html, const std::string& name) {
  std::vector<std::string> values;
  const std::regex pattern("[ \\n]" + name + "=\"([^\"]*)\"");
  for (std::sregex_iterator it(html.begin(), html.end(), pattern), end; it != end; ++it) {
    values.push_back(unescaped((*it)[1]));
  }
  return values;
}

inline Judgement judgement(std::vector<std::pair<std::string, double>> dimensions) {
  Judgement judgement;
  for (auto& [name, expected] : dimensions) {
    judgement.dimensions.push_back(
        {.name = name, .score = static_cast<int>(expected + 0.5), .expected = expected});
    judgement.reward += expected / static_cast<double>(dimensions.size());
  }
  judgement.judge = "stub-1";
  return judgement;
}

class ReportTest : public testing::Test {
 protected:
  ReportTest()
      : root_(std::filesystem::temp_directory_path() /
              ("bestreel-report-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    view_.finished = true;
    view_.settings.command = "rank";
    view_.settings.prompt = "a red ball";
    view_.settings.judges = {"stub"};
    view_.settings.judge_ids = {"stub-1"};
  }
  ~ReportTest() override { std::filesystem::remove_all(root_); }

  std::string file(const std::string& name, const std::string& bytes = "bytes") {
    const std::filesystem::path path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path.string();
  }

  /// Added to the run, as an mp4 that browsers play; the first one added is the winner.
  Candidate& add(const std::string& id, std::optional<Result> result) {
    Candidate candidate;
    candidate.id = id;
    candidate.path = (root_ / "videos" / id).string();
    candidate.video = {.frame_count = 10,
                       .width = 64,
                       .height = 32,
                       .fps = {5, 1},
                       .duration = 2,
                       .container = "mov,mp4,m4a,3gp,3g2,mj2",
                       .codec = "h264",
                       .pixel_format = "yuv420p"};
    candidate.results = {std::move(result)};
    if (const auto* judged =
            candidate.results[0] ? std::get_if<Judgement>(&*candidate.results[0]) : nullptr) {
      candidate.reward = judged->reward;
      candidate.rank = ++ranks_;
      if (view_.winner.empty()) view_.winner = id;
    }
    view_.candidates.push_back(candidate);
    return view_.candidates.back();
  }

  Judgement& judgement_at(std::size_t candidate) {
    return std::get<Judgement>(*view_.candidates.at(candidate).results.at(0));
  }

  std::string out() const { return (root_ / "out").string(); }

  std::string page(ReportOptions options = {}) {
    write_report(out(), view_, options);
    return read_file(out() + "/report.html");
  }

  std::string headline() { return text_of(between(page(), "<h1>", "</h1>")); }

  std::filesystem::path root_;
  RunView view_;
  int ranks_ = 0;
};

}  // namespace bestreel
