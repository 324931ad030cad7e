#include "cli/command.h"

#include <iostream>

#include "core/base/fail.h"

namespace bestreel::cli {
namespace {

void print_help(const Command& command) {
  std::cout << "bestreel " << command.name << " " << command.usage << "\n"
            << command.summary << "\n\n";
  std::cout << command.options() << "\n" << command.details;
}

/// Boost's own words, as a sentence of ours.
[[noreturn]] void fail_parse(const Command& command, const po::error& error) {
  fail_usage(command.name, "{}: see `bestreel {} --help`", error.what(), command.name);
}

}  // namespace

int run_command(const Command& command, const std::vector<std::string>& argv) {
  po::options_description options = command.options();
  options.add_options()("help,h", "show this help");
  po::positional_options_description positional;
  if (!command.positional.empty()) positional.add(command.positional.c_str(), -1);

  po::variables_map given;
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(
        po::command_line_parser(argv).options(options).positional(positional).style(style).run(),
        given);
    po::notify(given);
  } catch (const po::error& error) {
    fail_parse(command, error);
  }
  if (given.count("help") != 0) {
    print_help(command);
    return kDone;
  }
  return command.run(given);
}

std::string required_text(const po::variables_map& given, const Command& command,
                          const std::string& option, const std::string& metavar) {
  const std::string text = given.count(option) != 0 ? given[option].as<std::string>() : "";
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    fail_usage(command.name, "{} must not be empty: pass --{} {}", option, option, metavar);
  }
  return text;
}

po::variables_map parse_again(const Command& command, const RunSettings& settings, int threads) {
  std::vector<std::string> argv;
  for (std::size_t i = 2; i < settings.argv.size(); ++i) {
    if (settings.argv[i] == "--threads") {
      ++i;
    } else {
      argv.push_back(settings.argv[i]);
    }
  }
  argv.insert(argv.end(), {"--threads", std::to_string(threads > 0 ? threads : settings.threads)});
  const po::options_description options = command.options();
  po::positional_options_description positional;
  if (!command.positional.empty()) positional.add(command.positional.c_str(), -1);
  po::variables_map then;
  po::store(po::command_line_parser(argv).options(options).positional(positional).run(), then);
  return then;
}

}  // namespace bestreel::cli
