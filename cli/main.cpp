// The `bestreel` program: finds the command, turns errors into sentences and exit codes.
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "app/machine.h"
#include "cli/command.h"
#include "core/base/fail.h"

namespace bestreel::cli {

namespace {

/// Who runs it; commands that this build does not have are not in app::commands() either.
std::function<int(const RunConfig&)> runner(const std::string& name) {
  static const std::map<std::string, std::function<int(const RunConfig&)>> all{
      {"score", run_score},           {"rank", run_rank},
      {"resume", run_resume},         {"export", run_export},
#ifdef BESTREEL_WITH_TORCH
      {"generate", run_generate},     {"replay", run_replay},
      {"inspect", run_inspect},       {"plan", run_plan},
#endif
      {"parse", run_parse},           {"doctor", run_doctor},
      {"completion", run_completion}, {"man", run_man}};
  return all.at(name);
}

int run(const std::vector<std::string>& argv) {
  if (argv.empty()) {
    std::cerr << overview_text();
    return kUsage;
  }
  if (argv[0] == "--help" || argv[0] == "-h" || argv[0] == "help") {
    std::cout << overview_text();
    return kDone;
  }
  if (argv[0] == "--version") {
    std::cout << app::version_text();
    return kDone;
  }
  const CommandSpec* command = app::find_command(argv[0]);
  if (command == nullptr) {
    std::vector<std::string> names;
    for (const CommandSpec& each : app::commands()) names.push_back(each.name);
    fail_usage("bestreel", "{} is no command{}: see `bestreel --help`", argv[0],
               did_you_mean(argv[0], names));
  }
  app::GivenWords words = parse_words(*command, {argv.begin() + 1, argv.end()});
  if (words.erase("help") != 0) {
    std::cout << help_text(*command);
    return kDone;
  }
  return runner(argv[0])(app::config_from_words(*command, words));
}

}  // namespace
}  // namespace bestreel::cli

// glibc raises the size from which a block is a mapping of its own, up to 32 MiB, as blocks are
// freed, and keeps what lies below: how much depends on the order of frees. A fixed size gives
// large tensors back at once, so that a plan of the memory holds.
void steady_allocator() {
#ifdef __GLIBC__
  if (std::getenv("MALLOC_MMAP_THRESHOLD_") != nullptr) return;
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

int main(int argc, char** argv) {
  using namespace bestreel;
  steady_allocator();
  std::ios::sync_with_stdio(false);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pager is an error of the write, not a silent death
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const int code = cli::run({argv + 1, argv + argc});
    std::cout.flush();
    return code;
  } catch (const UsageError& error) {
    std::cerr << error.what() << "\n";
    return cli::kUsage;
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return error.code() == "cancelled" ? cli::kInterrupted : cli::kFailed;
  } catch (const std::bad_alloc&) {
    std::cerr << "[bestreel] out of memory: close other programs, or use smaller videos\n";
    return cli::kFailed;
  } catch (const std::exception& error) {
    std::cerr << "[bestreel] unexpected error, please report it: " << error.what() << "\n";
    return cli::kFailed;
  }
}
