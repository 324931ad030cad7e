// What the files of a Qwen2.5-VL folder say. Torch-free.
//
// design: a key that a file leaves out means the default of the transformers class that reads the
// file (4.53), not the value of some known checkpoint; a key that asks for what this engine does
// not do is refused, never ignored. What transformers 5 saves is read as well as what 4 saves.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reward/videoscore2/chat_format.h"

namespace bestreel::videoscore2 {

struct VisionConfig {
  std::int64_t depth = 32;
  std::int64_t hidden_size = 3584;
  std::int64_t intermediate_size = 3420;
  std::int64_t num_heads = 16;
  std::int64_t in_channels = 3;
  std::int64_t patch_size = 14;
  std::int64_t spatial_merge_size = 2;
  std::int64_t temporal_patch_size = 2;
  double tokens_per_second = 4;
  std::int64_t window_size = 112;  ///< pixels
  std::int64_t out_hidden_size = 3584;
  std::vector<std::int64_t> full_attention_blocks{7, 15, 23, 31};
};

struct TextConfig {
  std::int64_t vocab_size = 152064;
  std::int64_t hidden_size = 8192;
  std::int64_t intermediate_size = 29568;
  std::int64_t num_layers = 80;
  std::int64_t num_heads = 64;
  std::int64_t num_kv_heads = 8;
  std::int64_t max_positions = 32768;
  double rms_norm_eps = 1e-5;
  double rope_theta = 1e6;
  bool tie_word_embeddings = false;
  std::array<std::int64_t, 3> mrope_section{};  ///< half dimensions of time, height, width

  std::int64_t head_dim() const { return hidden_size / num_heads; }
};

struct ModelConfig {
  std::string architecture;  ///< as in config.json, such as "Qwen2_5_VLForConditionalGeneration"
  VisionConfig vision;
  TextConfig text;
  std::int64_t video_token_id = 151656;
  std::optional<std::int64_t> vision_start_token_id,
      vision_end_token_id;  ///< where they are stated
};

/// The video processor: of processor_config.json, else video_preprocessor_config.json, else
/// preprocessor_config.json.
struct ProcessorConfig {
  std::int64_t min_pixels = 128 * 28 * 28;  ///< a frame
  std::int64_t max_pixels = 768 * 28 * 28;
  std::int64_t patch_size = 14;
  std::int64_t temporal_patch_size = 2;
  std::int64_t merge_size = 2;
  double rescale_factor = 1.0 / 255.0;
  std::array<double, 3> image_mean{0.48145466, 0.4578275, 0.40821073};  ///< OpenAI CLIP
  std::array<double, 3> image_std{0.26862954, 0.26130258, 0.27577711};
};

/// generation_config.json. Temperature, top_k and top_p act only when sampling.
struct GenerationConfig {
  double repetition_penalty = 1.0;  ///< 1 = none
  double temperature = 1.0;
  std::int64_t top_k = 50;  ///< 0 = all; 50 is the class default when the file is silent
  double top_p = 1.0;       ///< 1 = all
  std::vector<std::int64_t> eos_token_ids;
};

struct CheckpointConfig {
  std::string folder;
  ModelConfig model;
  ProcessorConfig processor;
  GenerationConfig generation;
  ChatFormat chat;
  std::string digest;  ///< sha256 over the bytes of every file that was read
};

/// Errors: "checkpoint_missing" (no config.json), "checkpoint_adapter" (a LoRA adapter instead of a
/// model or beside one), "checkpoint_foreign" (another family),
/// "checkpoint_unsupported" (a setting that this engine does not do), "json_malformed",
/// "chat_format_unsupported".
CheckpointConfig read_checkpoint_config(const std::string& folder);

}  // namespace bestreel::videoscore2
