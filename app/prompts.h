// One prompt, or a file of them: each is a run of its own.
#pragma once

#include <string>
#include <vector>

#include "app/run_config.h"

namespace bestreel::app {

struct Job {
  std::string id;         ///< folder under --out; empty for a single prompt
  std::string directory;  ///< of the run
  RunConfig config;       ///< as if its prompt had been given alone
};

/// The prompt of --prompt, or the lines of --prompts FILE (UTF-8, or UTF-16 with its mark): plain
/// text, or JSON objects with "prompt" and, optional, "id", "seed", "negative_prompt"; other keys
/// are refused. A seed of -1 is what the run already has, else one is drawn, and a line on stderr
/// says which. Errors: UsageError, "json_malformed".
std::vector<Job> jobs_of(const RunConfig& config);

}  // namespace bestreel::app
