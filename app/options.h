// Private to the room: the options of each command.
#pragma once

#include <vector>

#include "app/commands.h"

namespace bestreel::app {

std::vector<OptionSpec> score_options();
std::vector<OptionSpec> rank_options();
std::vector<OptionSpec> generate_options();  ///< with an engine only
std::vector<OptionSpec> plan_options();      ///< the same
std::vector<OptionSpec> host_options();
std::vector<OptionSpec> resume_options();
std::vector<OptionSpec> replay_options();  ///< with an engine only
std::vector<OptionSpec> export_options();
std::vector<OptionSpec> inspect_options();
std::vector<OptionSpec> parse_options();
std::vector<OptionSpec> completion_options();

}  // namespace bestreel::app
