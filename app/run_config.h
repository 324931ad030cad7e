// What one command is asked to do, typed and checked: the recipe decides the result, the place says
// where things lie. Both are kept with a run as JSON; resume and replay begin from them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/commands.h"
#include "plugin/options.h"

namespace bestreel::app {

struct RunConfig {
  const CommandSpec* command = nullptr;
  std::string op;  ///< who speaks in sentences: the command's name, or a host's function
  OptionValues values;
};

/// Words by the option's name, as a parser found them.
using GivenWords = std::map<std::string, std::vector<std::string>>;

/// Every value checked, every fallback filled in. What belongs to a strategy that is not the chosen
/// one is refused where it was given, and left out where it is a fallback. UsageError "[command]".
RunConfig config_from_words(const CommandSpec& command, const GivenWords& given);

/// The same from JSON objects; an unknown key is refused with the nearest name, and what is no
/// recipe is none of `recipe`'s keys. `op`: for sentences, such as "best_of_n".
RunConfig config_from_json(const CommandSpec& command, const std::string& op,
                           const std::string& recipe, const std::string& place);

/// {"command": ..., options of scope kRecipe}: equal texts, equal results, given equal files.
std::string recipe_json(const RunConfig& config);

/// Options of scope kPlace, every path absolute.
std::string place_json(const RunConfig& config);

/// A stored run's config. Its recipe is as it was; of `now` (the options of `resume`), what was
/// given takes the place of what is stored. Error "run_foreign" for what cannot be read.
RunConfig stored_config(const std::string& directory, const std::string& command,
                        const std::string& recipe, const std::string& place,
                        const OptionValues& now = {});

/// The command that makes it again, from any folder: "bestreel", "rank", ...
std::vector<std::string> command_line(const RunConfig& config);

/// The text of an option that must be there and not be empty. UsageError
/// "[command] option must not be empty: pass --option METAVAR".
std::string required_text(const RunConfig& config, const std::string& option,
                          const std::string& metavar = "");

}  // namespace bestreel::app
