#include <iostream>

#include "cli/command.h"
#include "core/base/fail.h"

namespace bestreel::cli {
namespace {

constexpr const char* kDetails =
    "Example:\n"
    "  source <(bestreel completion bash)\n";

std::string long_options(const Command& command) {
  std::string words;
  const po::options_description options = command.options();
  for (const auto& option : options.options()) {
    if (option->long_name() != command.positional) words += "--" + option->long_name() + " ";
  }
  return words + "--help";
}

int run_completion(const po::variables_map& given) {
  const Command command = completion_command();
  const std::string shell = required_text(given, command, "shell", "bash");
  if (shell != "bash") fail_usage(command.name, "shell must be bash, but got {}", shell);
  std::string names, cases;
  for (const Command& each : commands()) {
    names += each.name + " ";
    cases += fmt::format("    {}) words=\"{}\" ;;\n", each.name, long_options(each));
  }
  std::cout
      << "# bash completion of bestreel: source <(bestreel completion bash)\n"
         "_bestreel() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} words=\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      << fmt::format("    COMPREPLY=($(compgen -W \"{}--help --version\" -- \"$word\"))\n", names)
      << "    return\n"
         "  fi\n"
         "  case ${COMP_WORDS[1]} in\n"
      << cases
      << "  esac\n"
         "  case $last in\n"
         "    --judge|-j) COMPREPLY=($(compgen -W pixels -- \"$word\")) ;;\n"
         "    --format) COMPREPLY=($(compgen -W \"csv jsonl\" -- \"$word\")); return ;;\n"
         "    --combine) COMPREPLY=($(compgen -W \"rank-mean weights\" -- \"$word\")); return ;;\n"
         "    completion) COMPREPLY=($(compgen -W bash -- \"$word\")); return ;;\n"
         "  esac\n"
         "  case $word in\n"
         "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
         "    *) COMPREPLY+=($(compgen -f -- \"$word\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _bestreel bestreel\n";
  return kDone;
}

}  // namespace

Command completion_command() {
  return {"completion",
          "print the completion script of a shell",
          "bash",
          "shell",
          kDetails,
          [] {
            po::options_description options("Options");
            options.add_options()("shell", po::value<std::string>()->value_name("SHELL"), "bash");
            return options;
          },
          run_completion};
}

}  // namespace bestreel::cli
