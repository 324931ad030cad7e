// Completion scripts, written from the table of options: names, choices, and where a path stands.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>

#include "cli/command.h"

namespace bestreel::cli {
namespace {

bool is_path(const OptionSpec& spec) {
  return spec.kind == OptionKind::kPath || spec.kind == OptionKind::kPaths;
}

/// In single quotes of any of the three shells.
std::string quoted(const std::string& text, const std::string& also = "") {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (also.find(c) != std::string::npos) {
      out += fmt::format("\\{}", c);
    } else {
      out += c;
    }
  }
  return "'" + out + "'";
}

std::string bash() {
  std::string names, cases;
  for (const CommandSpec& command : app::commands()) {
    names += command.name + " ";
    std::string words = "--help", values;
    for (const OptionSpec& spec : command.options) {
      if (spec.name == command.positional) continue;
      words += " --" + spec.name;
      if (spec.choices.empty()) continue;
      values += fmt::format(
          "        --{}{}) COMPREPLY=($(compgen -W \"{}\"{} -- \"$word\")); return ;;\n", spec.name,
          spec.letter == 0 ? "" : fmt::format("|-{}", spec.letter), fmt::join(spec.choices, " "),
          is_path(spec) ? " -f" : "");
    }
    const OptionSpec* positional =
        command.positional.empty() ? nullptr : command.find(command.positional);
    cases += fmt::format("    {}) words=\"{}\"\n", command.name, words);
    if (positional != nullptr && !positional->choices.empty())
      cases += fmt::format("      bare=\"{}\"\n", fmt::join(positional->choices, " "));
    if (!values.empty()) cases += "      case $last in\n" + values + "      esac\n";
    cases += "      ;;\n";
  }
  return "# bash completion of bestreel: source <(bestreel completion bash)\n"
         "_bestreel() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} words= bare=\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         names +
         "--help --version\" -- \"$word\"))\n"
         "    return\n"
         "  fi\n"
         "  case ${COMP_WORDS[1]} in\n" +
         cases +
         "  esac\n"
         "  case $word in\n"
         "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
         "    *) if [ -n \"$bare\" ]; then COMPREPLY=($(compgen -W \"$bare\" -- \"$word\"))\n"
         "       else COMPREPLY=($(compgen -f -- \"$word\")); fi ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _bestreel bestreel\n";
}

std::string zsh_action(const OptionSpec& spec) {
  const std::string metavar = spec.metavar.empty() ? spec.name : spec.metavar;
  std::string label;
  for (const char c : metavar) label += c == ':' ? ' ' : c;
  if (!spec.choices.empty() && !is_path(spec))
    return fmt::format(":{}:({})", label, fmt::join(spec.choices, " "));
  return fmt::format(":{}:{}", label, is_path(spec) ? "_files" : "");
}

std::string zsh() {
  std::string names, cases;
  for (const CommandSpec& command : app::commands()) {
    names += fmt::format("    {}\n", quoted(command.name + ":" + command.summary));
    cases += fmt::format("    {}) _arguments", command.name);
    for (const OptionSpec& spec : command.options) {
      if (spec.name == command.positional) {
        cases += fmt::format(" \\\n      {}", quoted("*" + zsh_action(spec)));
        continue;
      }
      std::string help;
      for (const char c : spec.help)
        help += c == '[' || c == ']' || c == ':' ? fmt::format("\\{}", c) : std::string(1, c);
      const bool many = spec.kind == OptionKind::kTexts || is_path(spec);
      cases +=
          fmt::format(" \\\n      {}",
                      quoted(fmt::format("{}--{}[{}]{}", many ? "*" : "", spec.name, help,
                                         spec.kind == OptionKind::kFlag ? "" : zsh_action(spec))));
    }
    cases += " \\\n      '--help[show this help]' ;;\n";
  }
  return "#compdef bestreel\n"
         "# zsh completion of bestreel: bestreel completion zsh > a folder of $fpath/_bestreel\n"
         "_bestreel() {\n"
         "  local -a names\n"
         "  names=(\n" +
         names +
         "  )\n"
         "  if (( CURRENT == 2 )); then\n"
         "    _describe command names\n"
         "    return\n"
         "  fi\n"
         "  local name=$words[2]\n"
         "  shift words\n"
         "  (( CURRENT-- ))\n"
         "  case $name in\n" +
         cases +
         "  esac\n"
         "}\n"
         "compdef _bestreel bestreel\n";
}

std::string fish() {
  std::string out =
      "# fish completion of bestreel: bestreel completion fish > "
      "~/.config/fish/completions/bestreel.fish\n"
      "complete -c bestreel -f\n";
  for (const CommandSpec& command : app::commands()) {
    out += fmt::format("complete -c bestreel -n __fish_use_subcommand -a {} -d {}\n", command.name,
                       quoted(command.summary, "\\"));
    const std::string when =
        fmt::format("complete -c bestreel -n '__fish_seen_subcommand_from {}'", command.name);
    for (const OptionSpec& spec : command.options) {
      if (spec.name == command.positional) {
        out += spec.choices.empty()
                   ? when + " -F\n"
                   : fmt::format("{} -a {}\n", when,
                                 quoted(fmt::format("{}", fmt::join(spec.choices, " "))));
        continue;
      }
      out += fmt::format("{} -l {}", when, spec.name);
      if (spec.letter != 0) out += fmt::format(" -s {}", spec.letter);
      if (spec.kind != OptionKind::kFlag) out += is_path(spec) ? " -r -F" : " -x";
      if (!spec.choices.empty())
        out += " -a " + quoted(fmt::format("{}", fmt::join(spec.choices, " ")));
      out += " -d " + quoted(spec.help, "\\") + "\n";
    }
    out += when + " -l help -s h -d 'show this help'\n";
  }
  return out;
}

}  // namespace

int run_completion(const RunConfig& config) {
  const std::string shell = app::required_text(config, "shell", "bash");
  std::cout << (shell == "bash" ? bash() : shell == "zsh" ? zsh() : fish());
  return kDone;
}

}  // namespace bestreel::cli
