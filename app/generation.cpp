#include "app/generation.h"

#include <iostream>

#include "app/judges.h"
#include "app/machine.h"
#include "core/base/fail.h"
#include "plugin/video_sink.h"

namespace bestreel::app {
namespace {

StrategyContext strategy_context(const RunConfig& config, int steps, const RunSettings& settings) {
  return {.seeds = steps == 0 ? std::vector<std::uint64_t>{} : seeds_of(config),
          .steps = steps,
          .judges = settings.judges.size(),
          .selection = {settings.combination, settings.weights},
          .cascade = settings.keep};
}

}  // namespace

const EngineRegistration* recognised_engine(const OptionValues& values, const std::string& folder) {
  for (const EngineRegistration& engine : registry().engines) {
    if (engine.recognises(values, folder)) return &engine;
  }
  return nullptr;
}

const EngineRegistration& engine_registration(const RunConfig& config) {
  if (const auto* engine = recognised_engine(config.values, config.values.text("model")))
    return *engine;
  required_text(config, "model");
  // Its own sentence says what is missing.
  return registry().engines.front();
}

std::unique_ptr<Engine> make_engine(const RunConfig& config) {
  return engine_registration(config).make(
      config.values, {.op = config.op,
                      .folder = config.values.text("model"),
                      .threads = static_cast<int>(config.values.integer("threads")),
                      .device = config.values.text("device")});
}

std::vector<std::uint64_t> seeds_of(const RunConfig& config) {
  if (config.values.has("seeds")) return config.values.list<std::uint64_t>("seeds");
  return consecutive_seeds(config.values.seed("seed"),
                           static_cast<std::size_t>(config.values.integer("n")));
}

const StrategyRegistration& strategy_registration(const RunConfig& config) {
  // A command without the option has what its fallback is elsewhere.
  if (!config.values.has("strategy")) return registry().strategies.front();
  const std::string name = config.values.text("strategy");
  for (const StrategyRegistration& strategy : registry().strategies) {
    if (strategy.name == name) return strategy;
  }
  fail("option_missing", config.op, "{} is no strategy: please report this", name);
}

StrategyPtr make_strategy(const RunConfig& config, int steps, const RunSettings& settings) {
  return strategy_registration(config).make(config.values,
                                            strategy_context(config, steps, settings));
}

bool overlap_of(const RunConfig& config) {
  const std::string word = config.values.text("overlap");
  const int threads = static_cast<int>(config.values.integer("threads"));
  const int judging = judge_threads(config);
  // Measured by `./run bench overlap`: judging gains from cores that the denoiser leaves idle, and
  // takes from it what it gains where both want the same ones.
  const bool fits = threads + judging <= usable_cores();
  if (word == "on" && !fits) {
    std::cerr << fmt::format(
        "[{}] note: {} threads of the denoiser and {} of the judges share {} cores while they "
        "overlap: lower --threads and --judge-threads\n",
        config.op, threads, judging, usable_cores());
  }
  return word == "on" || (word == "auto" && fits);
}

std::unique_ptr<Session> open_session(const RunConfig& config, const std::string& directory,
                                      const EngineCapabilities& engine,
                                      const std::vector<JudgePtr>& judges, std::stop_token stop,
                                      Trace* trace, const std::string& command,
                                      const std::string& versions,
                                      std::function<void(const std::string&)> judged) {
  const OptionValues& values = config.values;
  SessionOptions options;
  options.settings = settings_of(config, judges);
  options.settings.command = command;
  if (!versions.empty()) options.settings.versions += "; " + versions;
  options.condition = {values.text("prompt"), values.text("negative-prompt")};
  const bool files = engine.steps == 0;
  if (!files) options.keep = mp4_sink(directory, {{"prompt", options.condition.prompt}});
  if (values.flag("lossless"))
    options.lossless_sink = lossless_sink(directory, {{"prompt", options.condition.prompt}});
  options.overlap = files || overlap_of(config);
  options.max_forwards = values.real("max-forwards", 0);
  options.max_seconds = values.real("max-seconds", 0);
  options.stop = std::move(stop);
  options.judged = std::move(judged);
  options.trace = trace;
  StrategyPtr strategy = make_strategy(config, engine.steps, options.settings);
  return std::make_unique<Session>(directory, engine, std::move(strategy), judges,
                                   std::move(options));
}

}  // namespace bestreel::app
