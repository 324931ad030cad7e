// The only file that knows Boost's parser: words by option, nothing of what they mean.
#include <algorithm>
#include <boost/program_options.hpp>

#include "cli/command.h"
#include "core/base/fail.h"

namespace bestreel::cli {
namespace po = boost::program_options;
namespace {

void add(po::options_description& options, const OptionSpec& spec, const std::string& name,
         char letter) {
  const std::string names = letter == 0 ? name : fmt::format("{},{}", name, letter);
  if (spec.kind == OptionKind::kFlag) {
    options.add_options()(names.c_str(), "");
  } else {
    options.add_options()(names.c_str(), po::value<std::vector<std::string>>()->composing(), "");
  }
}

}  // namespace

app::GivenWords parse_words(const CommandSpec& command, const std::vector<std::string>& argv) {
  po::options_description options;
  options.add_options()("help,h", "");
  for (const OptionSpec& spec : command.options) {
    add(options, spec, spec.name, spec.letter);
    for (const std::string& alias : spec.aliases) add(options, spec, alias, 0);
  }
  po::positional_options_description positional;
  if (!command.positional.empty()) positional.add(command.positional.c_str(), -1);
  const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  app::GivenWords given;
  try {
    const po::parsed_options parsed =
        po::command_line_parser(argv).options(options).positional(positional).style(style).run();
    for (const auto& option : parsed.options) {
      const OptionSpec* spec = command.find(option.string_key);
      std::vector<std::string>& words = given[spec == nullptr ? option.string_key : spec->name];
      words.insert(words.end(), option.value.begin(), option.value.end());
    }
  } catch (const po::unknown_option& error) {
    const std::string word = error.get_option_name();
    app::refuse_option(command.name, command,
                       word.substr(std::min(word.size(), word.find_first_not_of('-'))));
  } catch (const po::error& error) {
    fail_usage(command.name, "{}: see `bestreel {} --help`", error.what(), command.name);
  }
  return given;
}

}  // namespace bestreel::cli
