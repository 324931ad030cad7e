#include "sampler/wan/config.h"

#include <algorithm>
#include <filesystem>

#include "sampler/config_reader.h"

namespace bestreel::wan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnsupported = "checkpoint_unsupported";

void require_class(const ConfigReader& in, const char* key, const char* only) {
  std::string name = only;
  in.read(key, name);
  if (name != only)
    fail("checkpoint_foreign", "checkpoint", "{} must describe a {} but describes a {}: {}",
         in.file(), only, name, "point to the folder of a diffusers WanPipeline");
}

TransformerConfig read_transformer(const std::string& file) {
  const ConfigReader in(file, kUnsupported);
  require_class(in, "_class_name", "WanTransformer3DModel");
  TransformerConfig c;
  in.read("patch_size", c.patch_size);
  if (*std::min_element(c.patch_size.begin(), c.patch_size.end()) < 1)
    in.unsupported("\"patch_size\" must hold three numbers from 1 up");
  in.read_positive("num_attention_heads", c.num_attention_heads);
  in.read_positive("attention_head_dim", c.attention_head_dim);
  in.read_positive("in_channels", c.in_channels);
  c.out_channels = c.in_channels;
  if (!in.has("out_channels") && !in.has("in_channels")) c.out_channels = 16;
  in.read_positive("out_channels", c.out_channels);
  in.read_positive("text_dim", c.text_dim);
  in.read_positive("freq_dim", c.freq_dim);
  in.read_positive("ffn_dim", c.ffn_dim);
  in.read_positive("num_layers", c.num_layers);
  in.read_positive("rope_max_seq_len", c.rope_max_seq_len);
  in.read("cross_attn_norm", c.cross_attn_norm);
  in.read("eps", c.eps);
  in.require("qk_norm", "rms_norm_across_heads");
  for (const char* key : {"image_dim", "added_kv_proj_dim", "pos_embed_seq_len"})
    if (in.has(key))
      in.unsupported(fmt::format("\"{}\" is {}, which only image-to-video models have", key,
                                 in.at(key).dump()));
  if (c.in_channels != c.out_channels)
    in.unsupported(
        fmt::format("in_channels is {} and out_channels {}, so this model wants more "
                    "than noise and text",
                    c.in_channels, c.out_channels));
  if (c.attention_head_dim % 2 != 0 || c.attention_head_dim < 6)
    in.unsupported(fmt::format("\"attention_head_dim\" must be even and at least 6 but is {}",
                               c.attention_head_dim));
  if (c.freq_dim % 2 != 0)
    in.unsupported(fmt::format("\"freq_dim\" must be even but is {}", c.freq_dim));
  return c;
}

VaeConfig read_vae(const std::string& file) {
  const ConfigReader in(file, kUnsupported);
  require_class(in, "_class_name", "AutoencoderKLWan");
  VaeConfig c;
  in.read_positive("base_dim", c.base_dim);
  c.decoder_base_dim = c.base_dim;
  in.read_positive("decoder_base_dim", c.decoder_base_dim);
  in.read_positive("z_dim", c.z_dim);
  in.read("dim_mult", c.dim_mult);
  in.read_positive("num_res_blocks", c.num_res_blocks);
  in.read("temperal_downsample", c.temporal_downsample);
  in.read("latents_mean", c.latents_mean);
  in.read("latents_std", c.latents_std);
  in.read("is_residual", c.is_residual);
  in.read_positive("in_channels", c.in_channels);
  in.read_positive("out_channels", c.out_channels);
  in.read_positive("patch_size", c.patch_size);
  in.read_positive("scale_factor_temporal", c.scale_temporal);
  in.read_positive("scale_factor_spatial", c.scale_spatial);
  if (in.has("attn_scales") && !in.at("attn_scales").empty())
    in.unsupported("\"attn_scales\" must be empty");
  const auto levels = static_cast<std::int64_t>(c.dim_mult.size());
  if (levels < 1 || static_cast<std::int64_t>(c.temporal_downsample.size()) != levels - 1 ||
      *std::min_element(c.dim_mult.begin(), c.dim_mult.end()) < 1)
    in.unsupported(
        fmt::format("\"temperal_downsample\" must have one entry less than \"dim_mult\" "
                    "(numbers from 1 up) but they have {} and {}",
                    c.temporal_downsample.size(), levels));
  const auto wide = static_cast<std::size_t>(c.z_dim);
  if (c.latents_mean.size() != wide || c.latents_std.size() != wide ||
      !(*std::min_element(c.latents_std.begin(), c.latents_std.end()) > 0))
    in.unsupported(
        fmt::format("\"latents_mean\" and \"latents_std\" must hold z_dim = {} numbers, "
                    "the latter above 0, but hold {} and {}",
                    c.z_dim, c.latents_mean.size(), c.latents_std.size()));
  const std::int64_t spatial = (std::int64_t{1} << (levels - 1)) * c.patch_size;
  const std::int64_t temporal = std::int64_t{1} << std::count(c.temporal_downsample.begin(),
                                                              c.temporal_downsample.end(), true);
  if (spatial != c.scale_spatial || temporal != c.scale_temporal)
    in.unsupported(
        fmt::format("its layers scale by {} in space and {} in time, but it says {} and "
                    "{}",
                    spatial, temporal, c.scale_spatial, c.scale_temporal));
  if (c.out_channels != 3 * c.patch_size * c.patch_size)
    in.unsupported(fmt::format("\"out_channels\" must be 3 x patch_size^2 = {} but is {}",
                               3 * c.patch_size * c.patch_size, c.out_channels));
  return c;
}

TextConfig read_text(const std::string& file) {
  const ConfigReader in(file, kUnsupported);
  require_class(in, "model_type", "umt5");
  TextConfig c;
  in.read_positive("vocab_size", c.vocab_size);
  in.read_positive("d_model", c.d_model);
  in.read_positive("d_kv", c.d_kv);
  in.read_positive("d_ff", c.d_ff);
  in.read_positive("num_layers", c.num_layers);
  in.read_positive("num_heads", c.num_heads);
  in.read_positive("relative_attention_num_buckets", c.relative_buckets);
  in.read_positive("relative_attention_max_distance", c.relative_max_distance);
  in.read("layer_norm_epsilon", c.eps);
  in.require("feed_forward_proj", "gated-gelu");
  if (c.relative_buckets < 4 || c.relative_max_distance <= c.relative_buckets / 4)
    in.unsupported(fmt::format("{} relative buckets must cover less than the distance {}",
                               c.relative_buckets, c.relative_max_distance));
  return c;
}

}  // namespace

PipelineConfig read_pipeline_config(const std::string& folder) {
  const std::string index_file = folder + "/model_index.json";
  std::error_code ignored;
  if (!fs::exists(index_file, ignored))
    fail("checkpoint_missing", "checkpoint",
         "{} must be the folder of a diffusers WanPipeline but holds no model_index.json: check "
         "the path, or download the -Diffusers version of the model",
         folder);
  PipelineConfig c;
  c.folder = folder;
  const ConfigReader index(index_file, kUnsupported);
  require_class(index, "_class_name", "WanPipeline");

  std::string digests;
  const auto part = [&](const char* name, const char* file) {
    const std::string path = folder + "/" + name + "/" + file;
    if (!fs::exists(path, ignored))
      fail("checkpoint_missing", "checkpoint",
           "{} is missing though {} is a WanPipeline: download the folder {} again", path, folder,
           name);
    digests += sha256_file(path);
    return path;
  };
  // A part is [library, class]; [null, null] where the pipeline goes without it.
  const auto names = [&](const char* name) {
    return index.has(name) && index.at(name).is_array() && index.at(name).size() == 2 &&
           index.at(name)[1].is_string();
  };
  if (!names("transformer"))
    fail(kUnsupported, "checkpoint",
         "{} names no transformer: a WanPipeline with only the low-noise half cannot start from "
         "noise, download all of it",
         index_file);
  digests += sha256_file(index_file);
  c.transformer = read_transformer(part("transformer", "config.json"));
  if (names("transformer_2"))
    c.transformer_2 = read_transformer(part("transformer_2", "config.json"));
  if (index.has("boundary_ratio")) {
    double ratio = 0;
    index.read("boundary_ratio", ratio);
    c.boundary_ratio = ratio;
  }
  if (c.transformer_2.has_value() != c.boundary_ratio.has_value())
    fail(
        kUnsupported, "checkpoint",
        "{} must have both transformer_2 and boundary_ratio, or neither, but has only {}: download "
        "it again",
        index_file, c.transformer_2 ? "transformer_2" : "boundary_ratio");
  c.vae = read_vae(part("vae", "config.json"));
  c.text = read_text(part("text_encoder", "config.json"));
  c.scheduler = read_scheduler_config(part("scheduler", "scheduler_config.json"));
  c.digest = sha256(digests);

  const auto agree = [&](const TransformerConfig& t, const char* name) {
    if (t.in_channels != c.vae.z_dim || t.text_dim != c.text.d_model || t.patch_size[0] != 1)
      fail(kUnsupported, "checkpoint",
           "{}/{}: in_channels {} and text_dim {} must equal the vae's z_dim {} and the text "
           "encoder's d_model {}, and patches must be one frame long but are {}: the parts belong "
           "to different models, download all again",
           folder, name, t.in_channels, t.text_dim, c.vae.z_dim, c.text.d_model, t.patch_size[0]);
  };
  agree(c.transformer, "transformer");
  if (c.transformer_2) agree(*c.transformer_2, "transformer_2");
  return c;
}

}  // namespace bestreel::wan
