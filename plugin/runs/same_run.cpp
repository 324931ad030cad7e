#include "plugin/runs/same_run.h"

#include <sstream>

#include "core/base/fail.h"

namespace bestreel {
namespace {

template <typename T>
std::string differs(const char* what, const T& then, const T& now) {
  return fmt::format("its {} was {} and is now {}", what, then, now);
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

std::string joined(const std::vector<std::string>& items) {
  return fmt::format("{}", fmt::join(items, ", "));
}

/// "weights=a, now weights=b" of two ids of equal length in words; empty where they have not, or
/// where no word is the same.
std::string differing_words(const std::string& then, const std::string& now) {
  std::istringstream before(then), after(now);
  std::vector<std::string> differences;
  std::string a, b;
  bool alike = false;
  while (before >> a && after >> b) {
    alike = alike || a == b;
    if (a != b) differences.push_back(fmt::format("{}, now {}", a, b));
  }
  return alike && !before && !(after >> b) ? joined(differences) : std::string();
}

/// The first thing that is not as it was, as half a sentence; empty when all is equal.
std::string difference(const RunSettings& then, const RunSettings& now) {
  if (then.command != now.command) return differs("command", then.command, now.command);
  if (then.prompt != now.prompt) return differs("prompt", quoted(then.prompt), quoted(now.prompt));
  if (then.negative != now.negative) {
    return differs("negative prompt", quoted(then.negative), quoted(now.negative));
  }
  if (then.limits != now.limits) return differs("limits", then.limits, now.limits);
  if (then.judge_ids != now.judge_ids) {
    return differs("judge", joined(then.judge_ids), joined(now.judge_ids));
  }
  if (then.keep != now.keep) {
    return differs("--cascade",
                   then.keep.empty() ? "not given" : fmt::format("{}", fmt::join(then.keep, ",")),
                   now.keep.empty() ? "not given" : fmt::format("{}", fmt::join(now.keep, ",")));
  }
  if (then.combination != now.combination || then.weights != now.weights) {
    return "its way of combining judges was another";
  }
  if (then.strategy != now.strategy) return differs("strategy", then.strategy, now.strategy);
  if (then.lossless != now.lossless) {
    return then.lossless ? "it keeps videos without loss (--lossless)"
                         : "it was made without --lossless";
  }
  if (then.judge_threads != now.judge_threads) {
    return differs("--judge-threads", then.judge_threads, now.judge_threads);
  }
  return difference_in_making(then, now);
}

}  // namespace

std::string difference_in_making(const RunSettings& then, const RunSettings& now) {
  if (then.engine != now.engine) {
    const std::string words = differing_words(then.engine, now.engine);
    return differs("engine", then.engine, now.engine) +
           (words.empty() ? "" : fmt::format(" ({})", words));
  }
  if (then.threads != now.threads) return differs("--threads", then.threads, now.threads);
  if (then.versions != now.versions) return differs("version", then.versions, now.versions);
  return "";
}

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
