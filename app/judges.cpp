#include "app/judges.h"

#include <algorithm>
#include <filesystem>

#include "app/machine.h"
#include "core/base/fail.h"
#include "plugin/strategies/cascade.h"
#ifdef BESTREEL_WITH_TORCH
#include "core/nn/device.h"
#endif

namespace bestreel::app {
namespace {

void check_device(const std::string& device) {
#ifdef BESTREEL_WITH_TORCH
  nn::parse_device(device);
#else
  if (device != "cpu")
    fail_usage("device", "device must be cpu in a build without libtorch, but got {}", device);
#endif
}

std::vector<double> weights_of(const RunConfig& config, std::size_t judges) {
  const std::vector<double> weights = config.values.list<double>("judge-weights");
  if (!weights.empty() && weights.size() != judges) {
    fail_usage(
        config.op,
        "judge-weights must be {} positive numbers with commas, one for each --judge, but got {}",
        judges, fmt::join(weights, ","));
  }
  return weights;
}

}  // namespace

const JudgeRegistration& judge_registration(const std::string& op, const std::string& spec) {
  std::vector<std::string> names;
  for (const JudgeRegistration& judge : registry().judges) {
    if (judge.accepts) continue;
    if (judge.name == spec) return judge;
    names.push_back(judge.name);
  }
  if (!std::filesystem::exists(spec)) {
    fail_usage(op, "judge must be {}, but got {}, which does not exist{}", judge_specs(), spec,
               did_you_mean(spec, names));
  }
  if (!std::filesystem::is_directory(spec))
    fail_usage(op, "judge must be {}, but got {}, which is a file", judge_specs(), spec);
  for (const JudgeRegistration& judge : registry().judges) {
    if (judge.accepts && judge.accepts(spec)) return judge;
  }
#ifndef BESTREEL_WITH_TORCH
  fail("no_libtorch", op,
       "{} is a checkpoint, and this build has no libtorch: build with -DBESTREEL_TORCH=ON", spec);
#else
  fail_usage(op, "judge must be {}, but got {}, which is none", judge_specs(), spec);
#endif
}

std::vector<int> cascade_of(const RunConfig& config, std::size_t judges) {
  if (!config.values.has("cascade")) return {};
  for (const char* other : {"combine", "judge-weights"}) {
    if (config.values.has(other)) {
      fail_usage(config.op,
                 "either --cascade or --{} may be given, but not both: with --cascade the judges "
                 "judge one after the other and are not combined",
                 other);
    }
  }
  std::vector<int> counts;
  for (const std::int64_t count : config.values.list<std::int64_t>("cascade"))
    counts.push_back(static_cast<int>(count));
  check_keep(config.op, judges, counts);
  return counts;
}

int judge_threads(const RunConfig& config) {
  return static_cast<int>(config.values.integer("judge-threads", config.values.integer("threads")));
}

std::vector<JudgePtr> make_judges(const RunConfig& config) {
  const auto specs = config.values.list<std::string>("judge");
  if (specs.empty()) {
    fail_usage(config.op, "judge must be given: pass --judge SPEC, where SPEC is {}",
               judge_specs());
  }
  cascade_of(config, specs.size());
  weights_of(config, specs.size());
  check_device(config.values.text("device"));
  const JudgeContext context{
      .op = config.op, .threads = judge_threads(config), .device = config.values.text("device")};
  std::vector<JudgePtr> judges;
  for (const std::string& spec : specs) {
    judges.push_back(judge_registration(config.op, spec).make(spec, config.values, context));
    for (const DecoratorRegistration& decorator : registry().decorators)
      judges.back() = decorator.wrap(judges.back(), config.values);
  }
  return judges;
}

RunSettings settings_of(const RunConfig& config, const std::vector<JudgePtr>& judges) {
  const OptionValues& values = config.values;
  RunSettings settings;
  settings.command = config.command->name;
  settings.recipe = recipe_json(config);
  settings.place = place_json(config);
  settings.prompt = required_text(config, "prompt", "TEXT");
  settings.judges = values.list<std::string>("judge");
  for (const JudgePtr& judge : judges) settings.judge_ids.push_back(judge->info().id);
  settings.keep = cascade_of(config, judges.size());
  if (settings.keep.empty() && (values.has("combine") || judges.size() > 1)) {
    settings.combination =
        values.text("combine") == "weights" ? Combination::kWeights : Combination::kRankMean;
  }
  settings.weights = weights_of(config, judges.size());
  settings.top = static_cast<int>(values.integer("top", 0));
  settings.threads = static_cast<int>(values.integer("threads"));
  if (judge_threads(config) != settings.threads) settings.judge_threads = judge_threads(config);
  settings.versions = version_line();
  return settings;
}

}  // namespace bestreel::app
