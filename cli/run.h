// One run to its end, in the terminal: what `rank`, `generate` and `resume` have in common.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "plugin/engine.h"
#include "plugin/judge.h"
#include "plugin/strategy.h"

namespace bestreel::cli {

struct DriveOptions {
  bool json = false;
  int top = 0;                                 ///< ranked rows of the table; 0: all
  std::vector<Arrived> files;                  ///< to begin with, of an engine of finished files
  std::function<std::vector<Arrived>()> more;  ///< see app::RunHooks
};

/// app::run() with a bar, tables, the report's place and the exit code.
int drive(const RunConfig& config, const std::string& directory, Engine& engine,
          const std::vector<JudgePtr>& judges, const Interrupt& interrupt, DriveOptions options);

}  // namespace bestreel::cli
