// The run driver: a session from its beginning to its end, whatever makes the candidates.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "app/run_config.h"
#include "plugin/engine.h"
#include "plugin/session.h"

namespace bestreel::app {

struct RunHooks {
  std::function<void(const std::string& candidate)> judged;  ///< SessionOptions::judged
  /// Each time that nothing is left to do, after the report was written.
  std::function<void(const Outcome&)> ended;
  /// Waits for files that arrive; nothing: no more come. May be empty.
  std::function<std::vector<Arrived>()> more;
};

/// Begins a run of `config` in `directory`, or goes on with it, until the strategy asks for nothing
/// more, `stop` is requested, or no more files come. `files`: those to begin with. Returns the last
/// outcome. Errors: those of open_session(), of the session and of the report.
Outcome run(const RunConfig& config, const std::string& directory, Engine& engine,
            const std::vector<JudgePtr>& judges, std::stop_token stop, std::vector<Arrived> files,
            const RunHooks& hooks);

}  // namespace bestreel::app
