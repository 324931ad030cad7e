// From options to an engine, a strategy and the prompts of `generate`; `resume` and `replay` read a
// run's own words through the same functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "plugin/engine.h"
#include "plugin/runs/run_view.h"
#include "plugin/strategy.h"
#include "sampler/wan/pipeline.h"

namespace bestreel::cli {

struct Job {
  std::string id;  ///< folder under --out; empty for a single prompt
  std::string prompt, negative;
  std::uint64_t seed = 0;  ///< of the first candidate; the others follow
};

/// The prompt of --prompt, or the lines of --prompts FILE: plain text, or JSON objects with
/// "prompt" and, optional, "id", "seed", "negative_prompt". Errors: UsageError, "json_malformed".
std::vector<Job> jobs_of(const po::variables_map& given, const Command& command);

/// The options of one of several prompts, as if they had been given alone.
po::variables_map options_of(const po::variables_map& given, const Job& job,
                             const std::string& out);

/// --model, the files that take the place of its parts, and the scheduler's.
void add_model_options(po::options_description& options);
wan::ModelOverrides overrides_of(const po::variables_map& given);
/// The folder; "" where files are given.
std::string model_of(const po::variables_map& given, const Command& command);

/// --size and --frames.
wan::VideoSize size_of(const po::variables_map& given, const Command& command);

std::unique_ptr<Engine> make_engine(const po::variables_map& given, const Command& command);

StrategyPtr make_strategy(const po::variables_map& given, const Command& command,
                          std::uint64_t seed, int steps, const RunSettings& settings);

/// Goes on with a run of `generate`.
int resume_generate(const std::string& directory, const RunSettings& settings, int threads,
                    bool json);

}  // namespace bestreel::cli
