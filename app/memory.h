// From a config to a plan of its memory: what `bestreel plan` prints and --memory obeys. What
// judges, strategies and engines need, they say themselves.
#pragma once

#include <string>
#include <vector>

#include "app/run_config.h"
#include "core/media/video.h"
#include "plugin/plan.h"

namespace bestreel::app {

struct Planned {
  PlanRequest request;
  MemoryPlan plan;
  std::string remedy;              ///< of a plan that does not fit: what to do, half a sentence
  std::vector<std::string> parts;  ///< names of the judges, as given
  std::int64_t tokens = 0;         ///< patches of the generator's latent; 0: no generator
  std::vector<std::int64_t> frames, prompt_tokens;  ///< of each judge; 0: no language model
  bool from_headers = true;  ///< false: some weights are absent and were counted from configs
};

/// `memory` is what must suffice. `video` and `n`: what is judged and how many, where the command
/// makes no videos. Of rank, score, generate and plan; judges without weights count as next to
/// nothing.
Planned plan_of(const RunConfig& config, std::int64_t memory, const VideoInfo& video,
                std::size_t n);

/// Where --memory is given: says the plan in one line on stderr, and returns the config with what
/// it limits (--judge-slots). Error "memory_short" with the remedy where nothing fits.
RunConfig obey_memory(const RunConfig& config, const VideoInfo& video, std::size_t n);

/// The one of the largest frames times length; files that cannot be opened are passed over.
VideoInfo largest_video(const std::vector<std::string>& files);

/// What --size, --frames and --fps ask for.
VideoInfo asked_video(const RunConfig& config);

}  // namespace bestreel::app
