#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "cli/command.h"

namespace bestreel::cli {
namespace {

constexpr std::size_t kColumn = 28;  // where the half sentences begin

std::string left_side(const OptionSpec& spec) {
  std::string text = spec.letter == 0 ? "    " : fmt::format("-{}, ", spec.letter);
  text += "--" + spec.name;
  if (!spec.metavar.empty()) text += " " + spec.metavar;
  return text;
}

std::string right_side(const OptionSpec& spec) {
  std::string text = spec.help;
  if (!spec.fallback.empty()) text += fmt::format(" ({})", spec.fallback);
  for (const std::string& alias : spec.aliases) text += fmt::format("; also --{}", alias);
  return text;
}

}  // namespace

std::string wrapped(const std::string& text, std::size_t indent, std::size_t width) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    // A line that is indented itself goes on further in.
    const std::size_t own = line.find_first_not_of(' ');
    const std::string further(indent + (own == std::string::npos || own == 0 ? 0 : own + 11), ' ');
    while (indent + line.size() > width) {
      const std::size_t space = line.rfind(' ', width - indent);
      if (space == std::string::npos || space <= further.size()) break;
      out += line.substr(0, space) + "\n" + std::string(indent, ' ');
      line = further.substr(std::min(further.size(), indent)) + line.substr(space + 1);
    }
    out += line + "\n";
  }
  return out;
}

std::string help_text(const CommandSpec& command) {
  std::string text =
      fmt::format("bestreel {} {}\n{}\n", command.name, command.usage, command.summary);
  std::vector<std::string> groups;
  for (const OptionSpec& spec : command.options) {
    const std::string group = spec.group.empty() ? "Options" : spec.group;
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  }
  for (const std::string& group : groups) {
    text += fmt::format("\n{}:\n", group);
    for (const OptionSpec& spec : command.options) {
      if ((spec.group.empty() ? "Options" : spec.group) != group) continue;
      const std::string left = left_side(spec);
      const std::string gap = left.size() + 4 > kColumn
                                  ? "\n" + std::string(kColumn, ' ')
                                  : std::string(kColumn - 2 - left.size(), ' ');
      text += "  " + left + gap + wrapped(right_side(spec), kColumn);
    }
  }
  text += fmt::format("{}  {:<{}}show this help\n", groups.empty() ? "\nOptions:\n" : "",
                      "-h, --help", kColumn - 2);
  if (!command.details.empty()) text += "\n" + wrapped(command.details, 0);
  if (!command.examples.empty()) {
    text += command.examples.size() > 1 ? "\nExamples:\n" : "\nExample:\n";
    for (const std::string& example : command.examples) text += "  " + example + "\n";
  }
  return text;
}

std::string overview_text() {
  std::string text =
      "bestreel: reward guidance for text-to-video engines\n\nUsage: bestreel COMMAND ...\n\n";
  for (const CommandSpec& command : app::commands())
    text += fmt::format("  {:<12}{}\n", command.name, command.summary);
  return text +
         "\n  bestreel COMMAND --help    options and examples of a command\n"
         "  bestreel --version         build, instruction set, library versions\n\n"
         "Exit status: 0 done, 1 something failed (the sentence says what), 2 usage,\n"
         "130 interrupted; what was finished is kept.\n";
}

}  // namespace bestreel::cli
