// Private to runs/: how the candidates of a generating run were made, read from its events.
#pragma once

#include <vector>

#include "plugin/runs/run_view.h"

namespace bestreel {

/// Of those that have a State: finished files are not made.
std::vector<TrajectoryRecord> project_trajectories(const std::vector<RunEvent>& events);

}  // namespace bestreel
