#include "plugin/runs/same_run.h"

#include "core/base/fail.h"

namespace bestreel {
namespace {

/// The first thing that is not as it was, as half a sentence; empty when all is equal.
std::string difference(const RunSettings& then, const RunSettings& now) {
  const auto differs = [](const char* what, const auto& a, const auto& b) {
    return fmt::format("its {} was {} and is now {}", what, a, b);
  };
  const auto joined = [](const std::vector<std::string>& items) {
    return fmt::format("{}", fmt::join(items, ", "));
  };
  if (then.command != now.command) return differs("command", then.command, now.command);
  if (then.prompt != now.prompt) {
    return differs("prompt", "\"" + then.prompt + "\"", "\"" + now.prompt + "\"");
  }
  if (then.negative != now.negative) {
    return differs("negative prompt", "\"" + then.negative + "\"", "\"" + now.negative + "\"");
  }
  if (then.engine != now.engine) return differs("engine", then.engine, now.engine);
  if (then.strategy != now.strategy) return differs("strategy", then.strategy, now.strategy);
  if (then.limits != now.limits) return differs("limits", then.limits, now.limits);
  if (then.judge_ids != now.judge_ids) {
    return differs("judge", joined(then.judge_ids), joined(now.judge_ids));
  }
  if (then.combination != now.combination || then.weights != now.weights) {
    return "its way of combining judges was another";
  }
  if (then.threads != now.threads) return differs("--threads", then.threads, now.threads);
  if (then.versions != now.versions) return differs("version", then.versions, now.versions);
  return "";
}

}  // namespace

void require_same_run(const std::string& directory, const RunSettings& then,
                      const RunSettings& now) {
  const std::string what = difference(then, now);
  if (what.empty()) return;
  fail(
      "run_mismatch", "resume",
      "{} holds a run that this command cannot go on with: {}; choose another --out, or repeat the "
      "run's own command",
      directory, what);
}

}  // namespace bestreel
