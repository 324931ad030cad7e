// The subcommands of `bestreel`: words in, a RunConfig out (app/), tables and bars to the terminal.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/run_config.h"

namespace bestreel::cli {

using app::CommandSpec;
using app::RunConfig;

/// Exit codes, the same for every command.
enum Exit : int { kDone = 0, kFailed = 1, kUsage = 2, kInterrupted = 130 };

// Each in the file of its name. They return the exit code; errors are thrown.
int run_score(const RunConfig& config);
int run_rank(const RunConfig& config);
int run_resume(const RunConfig& config);
int run_export(const RunConfig& config);
int run_generate(const RunConfig& config);  ///< with libtorch only
int run_replay(const RunConfig& config);    ///< with libtorch only
int run_inspect(const RunConfig& config);   ///< with libtorch only
int run_plan(const RunConfig& config);      ///< with libtorch only
int run_parse(const RunConfig& config);
int run_doctor(const RunConfig& config);
int run_completion(const RunConfig& config);
int run_man(const RunConfig& config);

/// A generating run whose config is known, into `directory`; one prompt (generate.cpp).
int generate_again(const RunConfig& config, const std::string& directory, bool json);

/// The words of `argv` (without "bestreel NAME") by the command's options; "help" for --help.
/// UsageError for what Boost cannot parse, and for an unknown option with the nearest.
app::GivenWords parse_words(const CommandSpec& command, const std::vector<std::string>& argv);

/// `bestreel NAME --help`: usage, grouped options, details, examples.
std::string help_text(const CommandSpec& command);

/// `bestreel --help`.
std::string overview_text();

/// Broken into lines of at most `width` cells, each after the first begun by `indent` spaces. Lines
/// of `text` stay lines.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t width = 96);

}  // namespace bestreel::cli
