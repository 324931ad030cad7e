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

struct PipelineConfig {
  std::string folder;
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
BESTREEL_API PipelineConfig read_pipeline_config(const std::string& folder);

}  // namespace bestreel::wan
