// What a run needs of the memory, before it begins. Torch-free arithmetic: judges and engines say
// what they need (JudgeEstimate, GeneratorEstimate), a plan says what lives at the same time.
//
// What is counted: the resident set of the process, as VmHWM and `time` report it. Mapped weights
// count, although the system may drop their pages and read them again: below the plan a run does
// not fail but reads its weights from disk for every token.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace bestreel {

/// "24G", "24GiB" (2^30), "24GB" (10^9), "24000M", "1.5T", or plain bytes. UsageError "[op]".
BESTREEL_API std::int64_t parse_memory(const std::string& op, const std::string& text);

/// "16.58 GB", "431 MB".
BESTREEL_API std::string memory_text(std::int64_t bytes);

/// Counts what lives while a forward pass is walked through on paper.
class Meter {
 public:
  void alloc(std::int64_t bytes) { peak_ = std::max(peak_, live_ += bytes); }
  void free(std::int64_t bytes) { live_ -= bytes; }
  /// Allocated and freed within one statement.
  void transient(std::int64_t bytes) { peak_ = std::max(peak_, live_ + bytes); }
  std::int64_t live() const { return live_; }
  std::int64_t peak() const { return peak_; }

 private:
  std::int64_t live_ = 0, peak_ = 0;
};

/// What the C library's allocator keeps of freed blocks: as much again, at most the 16 MiB above
/// which it gives back (cli/main.cpp sets that). `activations`: what lives at its peak.
inline std::int64_t allocator_slack(std::int64_t activations) {
  return std::min(activations, std::int64_t{16} << 20);
}

/// Of one judge; bytes, and work per video.
struct JudgeEstimate {
  std::string name;
  std::int64_t weights = 0;       ///< resident once it has judged
  std::int64_t activations = 0;   ///< one video's frames, vision tower and prompt, at their peak
  std::int64_t prompt_cache = 0;  ///< keys and values of one video's prompt
  std::int64_t slot = 0;          ///< keys and values of one sample's own tokens
  int samples = 1;                ///< of one video
  int max_slots = 1;              ///< that it can use; 1: it decodes one at a time
  double prefill_flops = 0;
  double decode_bytes = 0;  ///< read per step, whatever the slots
  double decode_flops = 0;  ///< per token
  double tokens = 0;        ///< per sample, at most
  double seconds = 0;       ///< per video, of a judge that is no language model; 0: not known
};

/// Of the engine that makes the videos.
struct GeneratorEstimate {
  std::int64_t loading = 0;       ///< of a file that is converted, until that is done
  std::int64_t text_encoder = 0;  ///< resident while prompts are encoded, then freed
  std::int64_t text_activations = 0;
  std::int64_t denoiser_at_text = 0;  ///< the part of it that encoding already uses
  std::int64_t denoiser = 0;
  std::int64_t conditioning = 0;
  std::int64_t vae = 0;
  std::int64_t denoise_activations = 0;
  std::int64_t decode_activations = 0;
  std::int64_t trajectory = 0;  ///< latents and the solver's past, of each in flight
  std::int64_t video = 0;       ///< frames of a finished candidate
  double forward_flops = 0;
  double forwards_per_candidate = 0;
  double decode_flops = 0;
  double text_flops = 0;
};

struct PlanRequest {
  std::int64_t memory = 0;   ///< the limit
  std::int64_t process = 0;  ///< the program and its libraries, before any model
  std::optional<GeneratorEstimate> generator;
  std::vector<JudgeEstimate> judges;
  std::vector<double> judged_share;  ///< of the candidates each judge sees (a cascade); empty: all
  std::int64_t n = 1;                ///< candidates
  std::int64_t prompts = 1;          ///< 2 or more: the text encoder is loaded beside the judges
  bool lockstep = false;             ///< all candidates are in flight at once
  bool keeps_videos = false;         ///< finished candidates wait in memory for a later judge
  bool overlap = false;              ///< judging while denoising
  int slots = 0;                     ///< asked for; 0: as many as fit and help
};

struct PlanPhase {
  std::string name;  ///< "loading", "encoding the prompt", "denoising", "decoding", "judging"
  std::int64_t bytes = 0;
};

struct MemoryPlan {
  std::vector<PlanPhase> phases;  ///< in order
  std::int64_t peak = 0;
  bool fits = false;
  std::string worst;              ///< the phase of the peak
  int slots = 1;                  ///< samples decoded together, of every judge
  std::int64_t trajectories = 1;  ///< in flight
};

/// With the most slots that fit (at most those asked for), at least one. Trajectories in flight are
/// what the strategy needs and cannot be fewer.
BESTREEL_API MemoryPlan plan_memory(const PlanRequest& request);

/// A change to a request, and how a user makes it.
struct Alternative {
  std::string remedy;  ///< such as "pass --quantize int8"
  PlanRequest request;
};

/// Of a plan that does not fit: the first of `alternatives`, which stand in the order of their
/// price, that fits; "" where none does.
BESTREEL_API std::string cheapest_remedy(const std::vector<Alternative>& alternatives);

/// Rates of this machine.
struct MachineRates {
  double flops = 0;             ///< a second, of a large product in float32
  double bytes_per_second = 0;  ///< at which memory is read
};

struct PlanSeconds {
  double text = 0;
  double denoise = 0, decode = 0;  ///< per candidate
  std::vector<double> judges;      ///< per video, at the plan's slots
  double total = 0;
};

BESTREEL_API PlanSeconds plan_seconds(const PlanRequest& request, const MemoryPlan& plan,
                                      const MachineRates& rates);

}  // namespace bestreel
