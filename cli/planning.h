// From a command's options to a plan of its memory: what `bestreel plan` prints and `--memory`
// obeys.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "core/media/video.h"
#include "plugin/plan.h"

namespace bestreel::cli {

struct Planned {
  PlanRequest request;
  MemoryPlan plan;
  std::string remedy;              ///< of a plan that does not fit: what to do, half a sentence
  std::vector<std::string> parts;  ///< names of the judges, as given
  std::int64_t parked = 0;         ///< the text encoder, which is freed before denoising
  std::int64_t tokens = 0;         ///< patches of the generator's latent; 0: no generator
  std::vector<std::int64_t> frames, prompt_tokens;  ///< of each judge; 0: no language model
  bool from_headers = true;  ///< false: some weights are absent and were counted from configs
};

/// --memory.
void add_memory_option(po::options_description& options);

/// `memory` is what must suffice. `video` and `n`: what is judged and how many, where the command
/// makes no videos. The options are those of rank, score, generate or plan; judges without weights
/// count as next to nothing.
Planned plan_of(const po::variables_map& given, const Command& command, std::int64_t memory,
                const VideoInfo& video, std::size_t n);

/// Where --memory is given: says the plan in one line on stderr, and returns the options with what
/// it limits (--judge-slots). Error "memory_short" with the remedy where nothing fits.
po::variables_map obey_memory(const po::variables_map& given, const Command& command,
                              const VideoInfo& video, std::size_t n);

/// The one of the largest frames times length; files that cannot be opened are passed over.
VideoInfo largest_video(const std::vector<std::string>& files);

}  // namespace bestreel::cli
