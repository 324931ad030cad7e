// The `bestreel` program: finds the command, turns errors into sentences and exit codes.
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "cli/command.h"
#include "cli/machine.h"
#include "cli/mapped_files.h"
#include "cli/output.h"
#include "core/base/fail.h"

namespace bestreel::cli {

std::span<const Command> commands() {
  static const std::vector<Command> all{
      score_command(),    rank_command(),   resume_command(),    export_command(),
#ifdef BESTREEL_WITH_TORCH
      generate_command(), replay_command(), inspect_command(),   plan_command(),
#endif
      parse_command(),    doctor_command(), completion_command()};
  return all;
}

namespace {

void print_help(std::ostream& out) {
  out << "bestreel: reward guidance for text-to-video engines\n\nUsage: bestreel COMMAND ...\n\n";
  for (const Command& command : commands()) {
    out << fmt::format("  {:<12}{}\n", command.name, command.summary);
  }
  out << "\n  bestreel COMMAND --help    options and examples of a command\n"
         "  bestreel --version         build, instruction set, library versions\n\n"
         "Exit status: 0 done, 1 something failed (the sentence says what), 2 usage,\n"
         "130 interrupted; what was finished is kept.\n";
}

int run(const std::vector<std::string>& argv) {
  if (argv.empty()) {
    print_help(std::cerr);
    return kUsage;
  }
  if (argv[0] == "--help" || argv[0] == "-h" || argv[0] == "help") {
    print_help(std::cout);
    return kDone;
  }
  if (argv[0] == "--version") {
    std::cout << version_text();
    return kDone;
  }
  for (const Command& command : commands()) {
    if (command.name == argv[0]) return run_command(command, {argv.begin() + 1, argv.end()});
  }
  fail_usage("bestreel", "{} is no command: see `bestreel --help`", argv[0]);
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

// Memory or threads may end where nothing can be thrown: in a destructor, between a library's
// threads. What is no such end is a mistake of ours, and aborts.
[[noreturn]] void on_terminate() {
  try {
    if (const auto error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    constexpr std::string_view kSentence =
        "[bestreel] out of memory: close other programs, or use smaller videos\n";
    [[maybe_unused]] const ssize_t written =
        ::write(STDERR_FILENO, kSentence.data(), kSentence.size());
    ::_exit(bestreel::cli::kFailed);
  } catch (const std::system_error&) {
    constexpr std::string_view kSentence =
        "[bestreel] the system gave out: raise its limits (ulimit -a) or close other programs\n";
    [[maybe_unused]] const ssize_t written =
        ::write(STDERR_FILENO, kSentence.data(), kSentence.size());
    ::_exit(bestreel::cli::kFailed);
  } catch (...) {
  }
  std::abort();
}

// One place for what every command says: its sentence, its exit status, and whether what it wrote
// has arrived.
int main(int argc, char** argv) {
  using namespace bestreel;
  steady_allocator();
  std::ios::sync_with_stdio(false);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pager is an error of the write, not a silent death
  std::signal(SIGXFSZ, SIG_IGN);
  std::set_terminate(on_terminate);
  cli::filter_output();
  cli::name_lost_mappings();
  int code = cli::kFailed;
  const auto say = [](const std::string& sentence) { std::cerr << cli::bounded(sentence) << "\n"; };
  try {
    code = cli::run({argv + 1, argv + argc});
  } catch (const UsageError& error) {
    say(error.what());
    code = cli::kUsage;
  } catch (const Error& error) {
    say(error.what());
    code = error.code() == "cancelled" ? cli::kInterrupted : cli::kFailed;
  } catch (const std::bad_alloc&) {
    std::cerr << "[bestreel] out of memory: close other programs, or use smaller videos\n";
  } catch (const std::system_error& error) {
    say(fmt::format(
        "[bestreel] the system gave out ({}): raise its limits (ulimit -a) or close other "
        "programs, and run the same command again",
        error.code().message()));
  } catch (const std::exception& error) {
    say(std::string("[bestreel] unexpected error, please report it: ") + error.what());
  }
  if (!cli::stdout_is_whole() && code == cli::kDone) {
    std::cerr << "[bestreel] stdout could not be written: check where it goes\n";
    code = cli::kFailed;
  }
  std::cerr.flush();
  return code;
}
