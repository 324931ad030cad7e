// Private to the library: whether a command may go on with a run.
#pragma once

#include <string>

#include "plugin/runs/run_view.h"

namespace bestreel {

/// Throws Error "run_mismatch" where `now` (the settings of this process) differs from `then` (the
/// run's) in anything that results depend on, naming it.
void require_same_run(const std::string& directory, const RunSettings& then,
                      const RunSettings& now);

/// What may make an engine make other pixels: the engine, the threads, the versions; the first that
/// differs as half a sentence, empty where none does.
std::string difference_in_making(const RunSettings& then, const RunSettings& now);

}  // namespace bestreel
