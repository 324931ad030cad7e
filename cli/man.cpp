// bestreel(1) in man's own macros, written from the table of options.
#include <fmt/format.h>

#include <iostream>
#include <sstream>

#include "cli/command.h"

namespace bestreel::cli {
namespace {

/// Text that roff takes literally.
std::string literal(const std::string& text) {
  std::string out;
  bool begin = true;
  for (const char c : text) {
    if (begin && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    begin = c == '\n';
  }
  return out;
}

std::string paragraphs(const std::string& text) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) {
      out += ".PP\n";
    } else {
      // A line that is indented stands by itself.
      if (line[0] == ' ') out += ".br\n";
      out += literal(line.substr(line.find_first_not_of(' '))) + "\n";
    }
  }
  return out;
}

std::string option_text(const OptionSpec& spec) {
  std::string names = spec.letter == 0 ? "" : fmt::format("\\fB\\-{}\\fR, ", spec.letter);
  names += fmt::format("\\fB\\-\\-{}\\fR", literal(spec.name));
  for (const std::string& alias : spec.aliases)
    names += fmt::format(", \\fB\\-\\-{}\\fR", literal(alias));
  if (!spec.metavar.empty()) names += fmt::format(" \\fI{}\\fR", literal(spec.metavar));
  return fmt::format(".TP\n{}\n{}{}.\n", names, literal(spec.help),
                     spec.fallback.empty() ? "" : literal(fmt::format(" ({})", spec.fallback)));
}

}  // namespace

int run_man(const RunConfig&) {
  std::cout << ".TH BESTREEL 1\n"
               ".SH NAME\nbestreel \\- reward guidance for text\\-to\\-video engines\n"
               ".SH SYNOPSIS\n\\fBbestreel\\fR \\fICOMMAND\\fR ...\n"
               ".SH DESCRIPTION\nMakes several candidates of a video, judges them and keeps the "
               "best.\n";
  for (const CommandSpec& command : app::commands()) {
    std::cout << fmt::format(".SH BESTREEL {}\n{}.\n.PP\n\\fBbestreel {}\\fR {}\n",
                             literal(command.name), literal(command.summary), literal(command.name),
                             literal(command.usage));
    for (const OptionSpec& spec : command.options) std::cout << option_text(spec);
    if (!command.details.empty()) std::cout << ".PP\n" << paragraphs(command.details);
    if (!command.examples.empty()) {
      std::cout << ".PP\n.nf\n";
      for (const std::string& example : command.examples) std::cout << literal(example) << "\n";
      std::cout << ".fi\n";
    }
  }
  std::cout << ".SH EXIT STATUS\n0 done, 1 something failed (the sentence says what), 2 usage, 130 "
               "interrupted; what was finished is kept.\n";
  return kDone;
}

}  // namespace bestreel::cli
