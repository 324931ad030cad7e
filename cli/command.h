// One subcommand of `bestreel`: what its help, its completion and its parser all read.
#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "plugin/runs/run_view.h"

namespace bestreel::cli {

namespace po = boost::program_options;

/// Exit codes, the same for every command.
enum Exit : int { kDone = 0, kFailed = 1, kUsage = 2, kInterrupted = 130 };

struct Command {
  std::string name;
  std::string summary;     ///< one line, for `bestreel --help`
  std::string usage;       ///< what follows the name, such as "VIDEO... --prompt TEXT"
  std::string positional;  ///< the option that takes the words without a dash; empty: none
  std::string details;     ///< after the options: exit status, rules, examples
  std::function<po::options_description()> options;
  std::function<int(const po::variables_map& given)> run;
};

/// In the order of the help.
std::span<const Command> commands();

// Each in the file of its name.
Command score_command();
Command rank_command();
Command resume_command();
Command export_command();
Command generate_command();  ///< with libtorch only
Command replay_command();    ///< with libtorch only
Command inspect_command();
Command plan_command();  ///< with libtorch only
Command parse_command();
Command doctor_command();
Command completion_command();

/// Parses `argv` (without "bestreel NAME") and runs, or prints the help.
int run_command(const Command& command, const std::vector<std::string>& argv);

/// The text of an option that must be there and not be empty. UsageError
/// "[command] option must not be empty: pass --option METAVAR".
std::string required_text(const po::variables_map& given, const Command& command,
                          const std::string& option, const std::string& metavar);

/// A run's own command, parsed again: every option means what it meant. `threads` 0: the run's.
po::variables_map parse_again(const Command& command, const RunSettings& settings, int threads);

}  // namespace bestreel::cli
