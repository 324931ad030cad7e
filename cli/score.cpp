#include <deque>
#include <future>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stop_token>

#include "app/judges.h"
#include "app/memory.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "core/base/fail.h"
#include "core/media/video.h"
#include "plugin/judge_queue.h"

namespace bestreel::cli {
namespace {

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

}  // namespace

int run_score(const RunConfig& config) {
  const std::string prompt = app::required_text(config, "prompt");
  const auto paths = config.values.list<std::string>("video");
  if (paths.empty()) fail_usage(config.op, "at least one video must be given: pass VIDEO...");
  const std::vector<JudgePtr> judges =
      app::make_judges(app::obey_memory(config, app::largest_video(paths), 1));
  if (judges.size() != 1) {
    fail_usage(config.op,
               "judge must be one SPEC, but got {}: use `bestreel rank` to combine "
               "judges",
               judges.size());
  }
  const bool json = config.values.flag("json");

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

}  // namespace bestreel::cli
