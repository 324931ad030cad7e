#include <deque>
#include <future>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stop_token>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/judges.h"
#include "cli/planning.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/media/video.h"
#include "plugin/judge_queue.h"

namespace bestreel::cli {
namespace {

constexpr const char* kDetails =
    "With --json, one JSON object per video on a line of its own: video, dimensions[{name, score,\n"
    "expected, probabilities?}], reward, rationale, measures{}, frames (indices that the judge "
    "saw),\n"
    "seconds; or video and failure{code, sentence}. Messages go to stderr.\n\n"
    "Exit status: 0 all judged, 1 some video failed (the others are still scored), 2 usage.\n\n"
    "Examples:\n"
    "  bestreel score clip.mp4 --prompt \"a red ball bounces\" --judge pixels\n"
    "  bestreel score *.mp4 -p \"a red ball bounces\" -j pixels --json > scores.jsonl\n";

/// The video's path as a JSON string; bytes that are not UTF-8 become U+FFFD.
std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void print_text(const std::string& path, const Result& result) {
  if (const auto* failure = std::get_if<Failure>(&result)) {
    std::cout << bold(printable(path)) << "  " << red("failed") << "\n  "
              << printable(failure->sentence) << "\n";
    return;
  }
  const auto& judgement = std::get<Judgement>(result);
  std::cout << bold(printable(path)) << fmt::format("  reward {:.3f}\n", judgement.reward);
  for (const Dimension& dimension : judgement.dimensions) {
    std::cout << fmt::format("  {:<22} {}  {:.3f}\n", dimension.name, dimension.score,
                             dimension.expected);
  }
  if (!judgement.rationale.empty()) std::cout << "  " << judgement.rationale << "\n";
}

int run_score(const po::variables_map& given) {
  const Command command = score_command();
  const std::string prompt = required_text(given, command, "prompt", "TEXT");
  if (given.count("video") == 0) {
    fail_usage(command.name, "at least one video must be given: pass VIDEO...");
  }
  const auto paths = given["video"].as<std::vector<std::string>>();
  const std::vector<JudgePtr> judges =
      make_judges(obey_memory(given, command, largest_video(paths), 1), command);
  if (judges.size() != 1) {
    fail_usage(command.name,
               "judge must be one SPEC, but got {}: use `bestreel rank` to combine "
               "judges",
               judges.size());
  }
  const bool json = given.count("json") != 0;

  Interrupt interrupt;
  Progress progress("scoring");
  JudgeQueue queue(judges[0]);
  const std::stop_callback cancel(interrupt.token(), [&] { queue.cancel_all(); });
  const auto submit = [&](const std::string& path) -> std::future<Result> {
    try {
      return queue.submit({open_video(path), {prompt, ""}}).result;
    } catch (const Error& error) {
      std::promise<Result> failed;
      failed.set_value(Failure{error.code(), error.what()});
      return failed.get_future();
    }
  };
  // As many as the judge takes side by side, and one that waits.
  const std::size_t at_hand = judges[0]->info().slots + 1;
  std::deque<std::future<Result>> running;
  bool all = true;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    while (running.size() < at_hand && i + running.size() < paths.size()) {
      running.push_back(submit(paths[i + running.size()]));
    }
    progress.update(i, paths.size(), paths[i]);
    const Result result = running.front().get();
    running.pop_front();
    if (interrupt.requested()) return kInterrupted;
    progress.clear();
    all = all && !failed(result);
    if (json) {
      std::cout << "{\"video\":" << json_text(paths[i]) << "," << to_json(result).substr(1) << "\n";
    } else {
      print_text(paths[i], result);
    }
    std::cout.flush();
    if (!std::cout)
      fail("write_failed", "score", "stdout could not be written: check where it goes");
    if (json && failed(result)) std::cerr << std::get<Failure>(result).sentence << "\n";
  }
  return all ? kDone : kFailed;
}

}  // namespace

Command score_command() {
  return {"score",
          "score videos, each by itself",
          "VIDEO... --prompt TEXT --judge SPEC [--json]",
          "video",
          kDetails,
          [] {
            po::options_description options("Options");
            add_judge_options(options);
            options.add_options()("json", "one JSON object per video on stdout")(
                "video", po::value<std::vector<std::string>>()->value_name("VIDEO"),
                "a video file; the word `--video` may be left out");
            return options;
          },
          run_score};
}

}  // namespace bestreel::cli
