// The VideoScore2 judge: a Qwen2.5-VL checkpoint that looks at a video and writes three scores.
//
// Dimensions: visual_quality, text_alignment, physical_consistency. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "plugin/judge.h"

namespace bestreel {

struct VideoScore2Options {
  std::string folder;         ///< a checkpoint as the Hub publishes it
  std::string template_file;  ///< query template; empty: the folder's model card, else our own

  /// "fp32": float32 activations on the weights as they are, which is what the reference computes;
  /// "bf16": bfloat16 activations, for a bfloat16 checkpoint.
  std::string dtype = "fp32";
  std::string device = "cpu";  ///< "cuda" or "cuda:1": of the weights and of all that is computed
  /// "file": the weights as they are; "int8": the decoder's in a byte each, converted once into a
  /// file beside the checkpoint, or in the user's cache where that is read-only. Half the memory
  /// traffic of a step for scores that differ a little, hence another judge id.
  std::string weights = "file";
  int threads = 0;  ///< of the judging thread's operators; 0: libtorch's default

  /// Tokens until </think>, fewer where the model's context ends before; 0: scores at once,
  /// without reasons.
  std::int64_t rationale = 1024;
  double fps = 0;               ///< frames a second that the judge looks at; 0: its own, 2
  std::int64_t max_frames = 0;  ///< 0: the reference's limit of 768

  double temperature = 0;  ///< 0: greedy
  std::uint64_t seed = 0;  ///< of the first reading; reading k uses seed + k
  int samples = 1;         ///< more than one needs a temperature: mean and standard deviation

  /// Readings that are decoded together, 1 to 32. Changes the speed and the memory, no score.
  int slots = 8;
};

/// Maps the weights and checks everything that can be checked before a video is there.
///
/// Errors: UsageError for options out of range; "checkpoint_missing", "checkpoint_foreign",
/// "checkpoint_unsupported", "shard_missing", "safetensors_malformed", "shape_mismatch",
/// "json_malformed", "tokenizer_unsuitable", "chat_format_unsupported", "template_malformed",
/// "isa_unavailable"; with int8 weights "disk_full", "write_failed".
///
/// Failures of a judgement: "usage" (empty prompt), "prompt_too_long", "video_unsuitable",
/// "logits_not_finite", "engine_failed" (memory), "cancelled", and what Video::read throws.
///
/// A judgement depends on the video, the prompt and these options alone. Every video has its own
/// prefill; then its samples join a running batch, where a step reads the weights once for all and
/// each keeps the bits that it would have alone. A video joins when a slot is free, not when the
/// batch is done, so judge_stream() is what a stream of candidates wants.
BESTREEL_API JudgePtr make_videoscore2_judge(const VideoScore2Options& options);

/// What `bestreel inspect FOLDER` shows.
struct CheckpointSummary {
  std::string architecture;  ///< as in config.json
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> dtypes;  ///< of the tensors, as in the files
  std::int64_t layers = 0, hidden_size = 0, heads = 0, kv_heads = 0, vocabulary = 0;
  std::int64_t vision_layers = 0, vision_hidden_size = 0;
  std::int64_t max_positions = 0;
  std::int64_t min_pixels = 0, max_pixels = 0;  ///< a frame, as in preprocessor_config.json
  double repetition_penalty = 1, temperature = 1, top_p = 1;
  std::int64_t top_k = 0;  ///< 0: all
  std::vector<std::int64_t> end_tokens;
  std::string system_text;         ///< of the default system turn
  std::string template_source;     ///< where the query comes from
  std::string template_hash;       ///< sha256
  bool template_fallback = false;  ///< our own wording: scores will differ from published ones
  std::vector<std::string> dimensions;
};

/// Reads headers and config files, no weights. Errors as make_videoscore2_judge.
BESTREEL_API CheckpointSummary inspect_videoscore2(const std::string& folder,
                                                   const std::string& template_file = "");

}  // namespace bestreel
