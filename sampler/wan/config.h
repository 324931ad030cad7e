// What the config files of a diffusers WanPipeline folder say. Torch-free. Public header.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "sampler/schedulers/config.h"

namespace bestreel::wan {

struct TransformerConfig {
  std::array<std::int64_t, 3> patch_size{1, 2, 2};  ///< frames, height, width of the latent
  std::int64_t num_attention_heads = 40;
  std::int64_t attention_head_dim = 128;
  std::int64_t in_channels = 16;
  std::int64_t out_channels = 16;
  std::int64_t text_dim = 4096;
  std::int64_t freq_dim = 256;
  std::int64_t ffn_dim = 13824;
  std::int64_t num_layers = 40;
  bool cross_attn_norm = true;
  double eps = 1e-6;
  std::int64_t rope_max_seq_len = 1024;

  std::int64_t dim() const { return num_attention_heads * attention_head_dim; }
};

struct VaeConfig {
  std::int64_t base_dim = 96;
  std::int64_t decoder_base_dim = 96;
  std::int64_t z_dim = 16;
  std::vector<std::int64_t> dim_mult{1, 2, 4, 4};
  std::int64_t num_res_blocks = 2;
  std::vector<bool> temporal_downsample{false, true, true};  ///< "temperal_downsample" in the file
  std::vector<double> latents_mean, latents_std;
  bool is_residual = false;  ///< Wan2.2's 16x16x4 autoencoder
  std::int64_t in_channels = 3, out_channels = 3;
  std::int64_t patch_size = 1;
  std::int64_t scale_temporal = 4, scale_spatial = 8;
};

struct TextConfig {
  std::int64_t vocab_size = 250112;
  std::int64_t d_model = 512;
  std::int64_t d_kv = 64;
  std::int64_t d_ff = 1024;
  std::int64_t num_layers = 8;
  std::int64_t num_heads = 6;
  std::int64_t relative_buckets = 32;
  std::int64_t relative_max_distance = 128;
  double eps = 1e-6;
};

/// What takes the place of a part of the folder: single files as ComfyUI has them (.safetensors or
/// .gguf, the original code's names or diffusers'), and settings of the scheduler. Empty: as the
/// folder has it.
struct ModelOverrides {
  std::string model_file, model_file_2;  ///< denoiser (of high noise); Wan2.2's of low noise
  std::string vae_file, text_encoder_file;
  std::string tokenizer;  ///< a folder, tokenizer.json or spiece.model
  SchedulerOverride scheduler;
};

/// Where the weights of each part lie, for Checkpoint::open_file.
struct PartFiles {
  std::string transformer, transformer_2, vae, text_encoder;
  std::string tokenizer;  ///< as ModelOverrides; empty: inside the text encoder's file
};

struct PipelineConfig {
  std::string folder;  ///< empty: single files make the whole model
  PartFiles files;
  std::vector<std::string> inferred;  ///< what the shapes of single files said, a sentence a part
  TransformerConfig transformer;
  std::optional<TransformerConfig> transformer_2;  ///< Wan2.2: below the boundary
  std::optional<double> boundary_ratio;
  VaeConfig vae;
  TextConfig text;
  SchedulerConfig scheduler;
  std::string digest;  ///< sha256 over the bytes of every config file that was read
};

/// Errors: "checkpoint_missing" (no model_index.json, or a part that it names), "json_malformed",
/// "checkpoint_foreign" (another pipeline), "checkpoint_unsupported" (a setting that this engine
/// does not do, such as image conditioning), "scheduler_unsupported".
///
/// With overrides for denoiser, autoencoder and text encoder the folder may be empty; what a folder
/// has beside a single file (number of heads, statistics of latents) counts where the shapes leave
/// it open. UsageError for overrides that cannot go together.
BESTREEL_API PipelineConfig read_pipeline_config(const std::string& folder,
                                                 const ModelOverrides& overrides = {});

}  // namespace bestreel::wan
