// From a config to an engine, a strategy and a session: what `rank`, `generate`, `replay` and the
// hosts' C interface have in common.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "app/run_config.h"
#include "plugin/engine.h"
#include "plugin/session.h"
#include "plugin/strategy.h"

namespace bestreel::app {

/// The family whose model `folder` (may be empty) or a file among the options is; nullptr: none.
const EngineRegistration* recognised_engine(const OptionValues& values, const std::string& folder);

/// The family of the checkpoint in --model FOLDER.
const EngineRegistration& engine_registration(const RunConfig& config);

std::unique_ptr<Engine> make_engine(const RunConfig& config);

/// One candidate each: --seeds, or -n from --seed on.
std::vector<std::uint64_t> seeds_of(const RunConfig& config);

const StrategyRegistration& strategy_registration(const RunConfig& config);
StrategyPtr make_strategy(const RunConfig& config, int steps, const RunSettings& settings);

/// Whether judging overlaps with denoising; a note on stderr where both share the cores.
bool overlap_of(const RunConfig& config);

/// A session over `judges` in `directory`. `command`: RunSettings::command, empty for a host's run;
/// `versions`: of the host, added to ours; `judged`: SessionOptions::judged. Errors: those of
/// Session, of the strategy, UsageError.
std::unique_ptr<Session> open_session(const RunConfig& config, const std::string& directory,
                                      const EngineCapabilities& engine,
                                      const std::vector<JudgePtr>& judges,
                                      std::stop_token stop = {}, Trace* trace = nullptr,
                                      const std::string& command = "",
                                      const std::string& versions = "",
                                      std::function<void(const std::string&)> judged = {});

}  // namespace bestreel::app
