// The commands and their options, as data: parser, help, completion, man page and JSON read these.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "plugin/options.h"
#include "plugin/registration.h"

namespace bestreel::app {

/// All judges, strategies and engines that this program links.
const Registry& registry();

struct CommandSpec {
  std::string name;
  std::string summary;     ///< one line, for `bestreel --help`
  std::string usage;       ///< what follows the name, such as "VIDEO... --prompt TEXT"
  std::string positional;  ///< the option that takes the words without a dash; empty: none
  std::string details;     ///< after the options: rules and exit status
  std::vector<std::string> examples;
  std::vector<OptionSpec> options;  ///< in the order of the help, those of a group together

  /// By name or alias, with dashes or underscores; nullptr: there is none.
  const OptionSpec* find(const std::string& name) const;
  std::vector<std::string> names() const;
};

/// In the order of the help.
std::span<const CommandSpec> commands();

/// nullptr: no command has this name.
const CommandSpec* find_command(const std::string& name);

/// What a host that owns its loop says of a run (adapters/): no engine, seeds instead of -n.
const CommandSpec& host_command();

/// UsageError that names what is the nearest.
[[noreturn]] void refuse_option(const std::string& op, const CommandSpec& command,
                                const std::string& name);

/// The strategies that take an option; empty: it belongs to none in particular.
std::vector<std::string> strategies_with(const std::string& option);

/// What --judge takes, as a sentence's half.
std::string judge_specs();

}  // namespace bestreel::app
