// What a VideoScore2 checkpoint needs, from its config files and, where they are there, the headers
// of its weights. The passes of vision.cpp and language.cpp are walked through on paper.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/export.h"
#include "core/media/video.h"
#include "plugin/plan.h"

namespace bestreel {

struct JudgePlanOptions {
  std::string folder;
  std::string dtype = "fp32";  ///< of the activations, as in VideoScore2Options
  bool int8 = false;  ///< the language model's matrices and head as int8_weights.h holds them
  std::int64_t rationale = 1024;
  int samples = 1;
  int max_slots = 1;
  double fps = 0;                  ///< 0: the judge's own
  std::int64_t max_frames = 0;     ///< 0: the reference's limit
  std::int64_t prompt_bytes = 80;  ///< of the user's prompt
  VideoInfo video;                 ///< width, height, frame_count, fps
};

struct JudgeSize {
  JudgeEstimate need;
  std::int64_t file_bytes = 0;  ///< of the checkpoint
  std::int64_t untouched = 0;   ///< of these, rows of the embedding table that no prompt reads
  bool from_headers = false;    ///< false: the weights are absent and were counted from config.json
  std::int64_t frames = 0;      ///< that the judge looks at
  std::int64_t prompt_tokens = 0;
};

/// Errors: those of read_checkpoint_config and of Checkpoint::open, "checkpoint_missing" of weights
/// excepted; "video_unsuitable".
BESTREEL_API JudgeSize plan_videoscore2(const JudgePlanOptions& options);

}  // namespace bestreel
