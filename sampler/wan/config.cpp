#include "sampler/wan/config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "core/base/file.h"
#include "sampler/config_reader.h"
#include "sampler/wan/infer.h"

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
  // The defaults of the reference's class, whatever z_dim is: a mismatch is said below.
  VaeConfig published;
  set_published_statistics(published);
  c.latents_mean = published.latents_mean;
  c.latents_std = published.latents_std;
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

namespace {

/// The weights of one part of a folder: the plain name, its shards, or the only variant (fp16) that
/// is there. Where there is none the plain name, for the error that says so.
std::string find_weights(const std::string& folder, const std::string& stem) {
  const std::string plain = folder + "/" + stem + ".safetensors";
  std::error_code ignored;
  for (const std::string& path : {plain, plain + ".index.json"})
    if (fs::exists(path, ignored)) return path;
  std::vector<std::string> variants;
  for (const auto& file : fs::directory_iterator(folder, ignored)) {
    const std::string name = file.path().filename().string();
    const std::string index = stem + ".safetensors.index.";
    const bool shards = name.starts_with(index) && name.ends_with(".json");
    const bool single = name.starts_with(stem + ".") && name.ends_with(".safetensors") &&
                        name.find("-of-") == std::string::npos;
    if (shards || single) variants.push_back(file.path().string());
  }
  if (variants.size() > 1)
    fail(
        "checkpoint_unsupported", "checkpoint",
        "{} must hold {}.safetensors or one variant of it but holds {}: keep the one that you want",
        folder, stem, fmt::join(variants, " and "));
  return variants.empty() ? plain : variants[0];
}

/// The class of the autoencoder has the statistics of Wan2.1 as defaults.
void check_statistics(const VaeConfig& c, const std::string& file) {
  const auto wide = static_cast<std::size_t>(c.z_dim);
  if (c.latents_mean.size() == wide && c.latents_std.size() == wide &&
      *std::min_element(c.latents_std.begin(), c.latents_std.end()) > 0)
    return;
  fail(kUnsupported, "checkpoint",
       "{}: \"latents_mean\" and \"latents_std\" must hold z_dim = {} numbers, the latter above 0, "
       "but hold {} and {}: download the configuration again",
       file, c.z_dim, c.latents_mean.size(), c.latents_std.size());
}

/// A folder's own configuration of one part, if it has one.
class Folder {
 public:
  Folder(std::string folder, bool needed) : folder_(std::move(folder)) {
    if (folder_.empty()) return;
    const std::string file = folder_ + "/model_index.json";
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
      if (!needed && fs::is_directory(folder_, ignored)) return;
      fail("checkpoint_missing", "checkpoint",
           "{} must be the folder of a diffusers WanPipeline but holds no model_index.json: check "
           "the path, download the -Diffusers version of the model, or name single files",
           folder_);
    }
    index_.emplace(file, kUnsupported);
    require_class(*index_, "_class_name", "WanPipeline");
    digests += sha256_file(file);
  }

  /// A part is [library, class]; [null, null] where the pipeline goes without it.
  bool names(const char* part) const {
    return index_ && index_->has(part) && index_->at(part).is_array() &&
           index_->at(part).size() == 2 && index_->at(part)[1].is_string();
  }
  const std::optional<ConfigReader>& index() const { return index_; }

  /// The path of a part's configuration; nullopt where the folder has no such part.
  std::optional<std::string> config(const char* part, const char* file, bool needed) {
    if (!names(part)) return std::nullopt;
    const std::string path = folder_ + "/" + part + "/" + file;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      if (!needed) return std::nullopt;
      fail("checkpoint_missing", "checkpoint",
           "{} is missing though {} is a WanPipeline: download the folder {} again", path, folder_,
           part);
    }
    digests += sha256_file(path);
    return path;
  }

  std::string digests;

 private:
  std::string folder_;
  std::optional<ConfigReader> index_;
};

}  // namespace

PipelineConfig read_pipeline_config(const std::string& folder, const ModelOverrides& o) {
  const bool whole = !o.model_file.empty() && !o.vae_file.empty() && !o.text_encoder_file.empty();
  if (folder.empty() && !whole)
    fail_usage(
        "checkpoint",
        "without the folder of a model there must be files for denoiser, autoencoder and "
        "text encoder (--model-file, --vae-file, --text-encoder-file) but the {} is missing: "
        "name it, or --model FOLDER",
        o.model_file.empty() ? "first"
        : o.vae_file.empty() ? "second"
                             : "third");
  PipelineConfig c;
  c.folder = folder;
  Folder from(folder, !whole);

  // Each part: the folder's configuration, then what the shapes of a single file say.
  const auto part = [&](const char* name, const char* stem, const std::string& file, auto& config,
                        const auto& read, const auto& infer) {
    const auto path = from.config(name, "config.json", file.empty());
    if (path) config = read(*path);
    if (file.empty()) return find_weights(folder + "/" + name, stem);
    c.inferred.push_back(infer(file, config));
    return file;
  };
  constexpr const char* kStem = "diffusion_pytorch_model";
  if (o.model_file.empty() && !from.names("transformer"))
    fail(kUnsupported, "checkpoint",
         "{}/model_index.json names no transformer: a WanPipeline with only the low-noise half "
         "cannot start from noise, download all of it",
         folder);
  c.files.transformer =
      part("transformer", kStem, o.model_file, c.transformer, read_transformer, infer_transformer);
  if (!o.model_file_2.empty() || from.names("transformer_2")) {
    TransformerConfig second = c.transformer;
    c.files.transformer_2 =
        part("transformer_2", kStem, o.model_file_2, second, read_transformer, infer_transformer);
    c.transformer_2 = second;
  }
  if (from.index() && from.index()->has("boundary_ratio")) {
    double ratio = 0;
    from.index()->read("boundary_ratio", ratio);
    c.boundary_ratio = ratio;
  } else if (c.transformer_2 && !from.names("transformer_2")) {
    c.boundary_ratio = 0.875;  // of Wan2.2's text-to-video pair
  }
  if (c.transformer_2.has_value() != c.boundary_ratio.has_value())
    fail(kUnsupported, "checkpoint",
         "{}/model_index.json must have both transformer_2 and boundary_ratio, or neither, but has "
         "only {}: download it again",
         folder, c.transformer_2 ? "transformer_2" : "boundary_ratio");
  c.files.vae = part("vae", kStem, o.vae_file, c.vae, read_vae, infer_vae);
  check_statistics(c.vae, o.vae_file.empty() ? folder + "/vae/config.json" : o.vae_file);
  c.files.text_encoder =
      part("text_encoder", "model", o.text_encoder_file, c.text, read_text, infer_text);
  std::error_code ignored;
  if (!o.tokenizer.empty()) {
    c.files.tokenizer = o.tokenizer;
  } else if (!folder.empty() && (!whole || fs::exists(folder + "/tokenizer", ignored))) {
    c.files.tokenizer = folder + "/tokenizer";
  } else if (sentencepiece_tensor(o.text_encoder_file).empty()) {
    fail_usage("checkpoint",
               "{} holds no tokenizer: name one (--tokenizer, a folder, tokenizer.json or "
               "spiece.model), or the folder of a model",
               o.text_encoder_file);
  }
  if (const auto path = from.config("scheduler", "scheduler_config.json", !whole)) {
    c.scheduler = read_scheduler_config(*path, o.scheduler);
  } else {
    // As the models are published: 5 for the 5B, whose latents have 48 channels.
    c.scheduler = make_scheduler_config(o.scheduler, c.vae.z_dim == 48 ? 5.0 : 3.0);
    c.inferred.push_back(fmt::format("scheduler: {} with flow shift {}, as no file says",
                                     o.scheduler.solver.empty() ? "unipc" : o.scheduler.solver,
                                     c.scheduler.shift));
  }
  c.digest = sha256(from.digests + fmt::format("{}", fmt::join(c.inferred, "\n")) +
                    (o.scheduler.solver.empty() && !o.scheduler.shift
                         ? ""
                         : fmt::format("{} {}", o.scheduler.solver, c.scheduler.shift)));

  const auto agree = [&](const TransformerConfig& t, const std::string& name) {
    if (t.in_channels != c.vae.z_dim || t.text_dim != c.text.d_model || t.patch_size[0] != 1)
      fail(kUnsupported, "checkpoint",
           "{}: in_channels {} and text_dim {} must equal the vae's z_dim {} and the text "
           "encoder's d_model {}, and patches must be one frame long but are {}: the parts belong "
           "to different models, download all again",
           name, t.in_channels, t.text_dim, c.vae.z_dim, c.text.d_model, t.patch_size[0]);
  };
  agree(c.transformer, c.files.transformer);
  if (c.transformer_2) agree(*c.transformer_2, c.files.transformer_2);
  return c;
}

}  // namespace bestreel::wan
