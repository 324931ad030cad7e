// From what a user writes after --judge to a judge.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "plugin/judge.h"
#include "plugin/runs/run_view.h"

namespace bestreel::cli {

/// The options that choose and configure judges, the same for every command that judges.
void add_judge_options(po::options_description& options);

/// What `--strategy rerank` keeps without --keep.
inline constexpr int kRerankKeep = 2;

/// --keep K,...: one count for every judge but the last; empty without --keep. UsageError
/// "[command]" for other counts, and beside --combine or --weights.
std::vector<int> keep_of(const po::variables_map& given, const Command& command,
                         std::size_t judges);

/// --device as it was given; "cpu" where it was not.
std::string device_of(const po::variables_map& given);

/// One judge per SPEC: `pixels`, or the folder of a VideoScore2 checkpoint. UsageError "[command]".
std::vector<JudgePtr> make_judges(const po::variables_map& given, const Command& command);

/// What a run records and a resume compares, filled from the options and the judges. Its argv is
/// the command with every path absolute, so that it means the same from any folder.
RunSettings make_settings(const po::variables_map& given, const Command& command,
                          const std::vector<JudgePtr>& judges);

}  // namespace bestreel::cli
