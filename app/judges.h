// From --judge SPEC to judges, and what a run records of them.
#pragma once

#include <vector>

#include "app/run_config.h"
#include "plugin/judge.h"
#include "plugin/runs/run_view.h"

namespace bestreel::app {

/// The one that --judge SPEC means. UsageError "[op]": none does.
const JudgeRegistration& judge_registration(const std::string& op, const std::string& spec);

/// --cascade; empty: all judges judge all. UsageError for
/// counts that do not fit the judges, and beside --combine or --judge-weights.
std::vector<int> cascade_of(const RunConfig& config, std::size_t judges);

/// One judge per SPEC. UsageError where none is given.
std::vector<JudgePtr> make_judges(const RunConfig& config);

/// What a run records and a resume compares.
RunSettings settings_of(const RunConfig& config, const std::vector<JudgePtr>& judges);

/// --judge-threads, or --threads.
int judge_threads(const RunConfig& config);

}  // namespace bestreel::app
