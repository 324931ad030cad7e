// Private to runs/: how the candidates of a generating run were made, read from its events.
#pragma once

#include <vector>

#include "plugin/runs/run_view.h"

namespace bestreel {

/// Throws where a body is not as the session writes it.
std::vector<TrajectoryRecord> project_trajectories(const std::vector<Event>& events);

}  // namespace bestreel
