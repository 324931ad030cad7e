#include "sampler/wan/infer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "core/base/fail.h"
#include "core/nn/checkpoint.h"
#include "sampler/wan/names.h"

namespace bestreel::wan {
namespace {

/// The shapes of one part's tensors by our names.
class Shapes {
 public:
  Shapes(const std::string& file, Part part, const char* what) : file_(file), what_(what) {
    const auto entries = Checkpoint::open_file(file).entries();
    std::map<std::string, const TensorEntry*> theirs;
    for (const TensorEntry& entry : entries) theirs[entry.name] = &entry;
    for (const auto& [ours, name] : stored_names(part, file, entries)) {
      shapes_[ours] = theirs[name]->shape;
      formats_.insert(theirs[name]->dtype);
    }
  }

  bool has(const std::string& name) const { return shapes_.contains(name); }
  const std::map<std::string, std::vector<std::int64_t>>& all() const { return shapes_; }
  std::string formats() const { return fmt::format("{}", fmt::join(formats_, ", ")); }

  std::int64_t size(const std::string& name, std::size_t dimension) const {
    const auto at = shapes_.find(name);
    if (at == shapes_.end() || at->second.size() <= dimension)
      fail("checkpoint_foreign", "checkpoint",
           "{} must be {} but has no tensor that is {}: check which file is which", file_, what_,
           name);
    return at->second[dimension];
  }
  std::size_t dimensions(const std::string& name) const {
    size(name, 0);
    return shapes_.at(name).size();
  }

  /// How many of "before0after", "before1after" ... there are.
  std::int64_t count(const std::string& before, const std::string& after) const {
    std::int64_t n = 0;
    while (has(fmt::format("{}{}{}", before, n, after))) ++n;
    return n;
  }

  [[noreturn]] void unsupported(const std::string& what) const {
    fail("checkpoint_unsupported", "checkpoint", "{}: {}: use a file of a Wan text-to-video model",
         file_, what);
  }

 private:
  std::string file_;
  const char* what_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
  std::set<std::string> formats_;
};

}  // namespace

std::string infer_transformer(const std::string& file, TransformerConfig& c) {
  const Shapes s(file, Part::kTransformer, "the denoiser of a Wan model");
  for (const auto& [name, shape] : s.all())
    if (const char* family = foreign_family(name))
      s.unsupported(fmt::format("its tensor {:.80} makes it a {} model", name, family));
  const std::int64_t dim = s.size("patch_embedding.bias", 0);
  const std::string patches = "patch_embedding.weight";
  const std::size_t spatial = s.dimensions(patches);
  if (spatial != 4 && spatial != 5)
    s.unsupported(fmt::format("{} has {} dimensions", patches, spatial));
  for (std::size_t i = 0; i < 3; ++i) c.patch_size[i] = s.size(patches, spatial - 3 + i);
  c.in_channels =
      spatial == 5 ? s.size(patches, 1) : s.size(patches, 0) / std::max<std::int64_t>(1, dim);
  const std::int64_t pixels = c.patch_size[0] * c.patch_size[1] * c.patch_size[2];
  c.out_channels = s.size("proj_out.weight", 0) / std::max<std::int64_t>(1, pixels);
  if (c.in_channels != c.out_channels)
    s.unsupported(
        fmt::format("it takes {} channels and gives {}, so it wants more than noise and "
                    "text (image-to-video, or control)",
                    c.in_channels, c.out_channels));
  c.freq_dim = s.size("condition_embedder.time_embedder.linear_1.weight", 1);
  c.text_dim = s.size("condition_embedder.text_embedder.linear_1.weight", 1);
  c.ffn_dim = s.size("blocks.0.ffn.net.0.proj.weight", 0);
  c.num_layers = s.count("blocks.", ".attn1.to_q.weight");
  c.cross_attn_norm = s.has("blocks.0.norm2.weight");
  if (c.dim() != dim) {
    constexpr std::int64_t kHead = 128;  // of every Wan model; no shape says it
    if (dim % kHead != 0)
      s.unsupported(
          fmt::format("its width {} is no multiple of {}, the size of a head: name the "
                      "folder of the model as well",
                      dim, kHead));
    c.attention_head_dim = kHead;
    c.num_attention_heads = dim / kHead;
  }
  return fmt::format(
      "denoiser: {} layers, {} heads of {}, feed-forward {}, {} channels, text {}, stored as {}",
      c.num_layers, c.num_attention_heads, c.attention_head_dim, c.ffn_dim, c.in_channels,
      c.text_dim, s.formats());
}

bool set_published_statistics(VaeConfig& c) {
  if (c.z_dim == 16) {  // Wan2.1's, the defaults of the reference's class
    c.latents_mean = {-0.7571, -0.7089, -0.9113, 0.1075,  -0.1745, 0.9653,  -0.1517, 1.5508,
                      0.4134,  -0.0715, 0.5517,  -0.3632, -0.1922, -0.9497, 0.2503,  -0.2921};
    c.latents_std = {2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
                     3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160};
    return true;
  }
  if (c.z_dim == 48) {  // Wan2.2's, of TI2V-5B
    c.latents_mean = {-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174,  0.1838,  0.1557,
                      -0.1382, 0.0542,  0.2813,  0.0891,  0.1570,  -0.0098, 0.0375,  -0.1825,
                      -0.2246, -0.1207, -0.0698, 0.5109,  0.2665,  -0.2108, -0.2158, 0.2502,
                      -0.2055, -0.0322, 0.1109,  0.1567,  -0.0729, 0.0899,  -0.2799, -0.1230,
                      -0.0313, -0.1649, 0.0117,  0.0723,  -0.2839, -0.2083, -0.0520, 0.3748,
                      0.0152,  0.1957,  0.1433,  -0.2944, 0.3573,  -0.0548, -0.1681, -0.0667};
    c.latents_std = {0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344,
                     0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804,
                     0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999,
                     0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
                     0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744};
    return true;
  }
  return false;
}

std::string infer_vae(const std::string& file, VaeConfig& c) {
  const Shapes s(file, Part::kVae, "the autoencoder of a Wan model");
  const std::int64_t z_before = c.z_dim;
  c.base_dim = s.size("encoder.conv_in.weight", 0);
  c.in_channels = s.size("encoder.conv_in.weight", 1);
  c.out_channels = s.size("decoder.conv_out.weight", 0);
  c.z_dim = s.size("post_quant_conv.weight", 0);
  c.is_residual = s.has("decoder.up_blocks.0.upsampler.resample.1.weight");
  c.patch_size = std::llround(std::sqrt(static_cast<double>(c.in_channels) / 3));
  const auto levels = s.count("decoder.up_blocks.", ".resnets.0.conv1.weight");
  c.num_res_blocks = s.count("decoder.up_blocks.0.resnets.", ".conv1.weight") - 1;
  if (levels < 2 || levels > 8 || c.num_res_blocks < 1)
    s.unsupported("its decoder has other levels than a Wan autoencoder");
  // The encoder's first level is its base, the decoder's last one as many times its own.
  c.dim_mult.assign(static_cast<std::size_t>(levels), 1);
  c.temporal_downsample.assign(static_cast<std::size_t>(levels - 1), false);
  std::int64_t last =
      s.size(fmt::format("decoder.up_blocks.{}.resnets.0.conv2.weight", levels - 1), 0);
  c.decoder_base_dim = last;
  for (std::int64_t i = 0; i < levels; ++i) {
    const auto level = static_cast<std::size_t>(levels - 1 - i);
    const std::string block = fmt::format("decoder.up_blocks.{}.", i);
    const std::int64_t width = s.size(block + "resnets.0.conv2.weight", 0);
    c.dim_mult[level] = width / std::max<std::int64_t>(1, last);
    if (c.dim_mult[level] * last != width)
      s.unsupported(fmt::format("level {} of its decoder has {} channels, no multiple of {}", i,
                                width, last));
    if (level > 0)
      c.temporal_downsample[level - 1] = s.has(
          block + (c.is_residual ? "upsampler.time_conv.weight" : "upsamplers.0.time_conv.weight"));
  }
  c.scale_spatial = (std::int64_t{1} << (levels - 1)) * c.patch_size;
  c.scale_temporal = std::int64_t{1} << std::count(c.temporal_downsample.begin(),
                                                   c.temporal_downsample.end(), true);
  if (c.latents_mean.empty() || z_before != c.z_dim) {
    if (!set_published_statistics(c))
      s.unsupported(
          fmt::format("the statistics of latents with {} channels are in no file: name "
                      "the folder of the model as well",
                      c.z_dim));
  }
  return fmt::format(
      "autoencoder: {} channels, {}x{}x{} compression, base {} and {}, {} residual blocks a "
      "level, stored as {}",
      c.z_dim, c.scale_temporal, c.scale_spatial, c.scale_spatial, c.base_dim, c.decoder_base_dim,
      c.num_res_blocks, s.formats());
}

std::string infer_text(const std::string& file, TextConfig& c) {
  const Shapes s(file, Part::kTextEncoder, "a UMT5 text encoder");
  const std::string table =
      s.has("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight";
  const std::string attention = "encoder.block.0.layer.0.SelfAttention.";
  c.vocab_size = s.size(table, 0);
  c.d_model = s.size(table, 1);
  c.relative_buckets = s.size(attention + "relative_attention_bias.weight", 0);
  c.num_heads = s.size(attention + "relative_attention_bias.weight", 1);
  c.d_kv = s.size(attention + "q.weight", 0) / std::max<std::int64_t>(1, c.num_heads);
  c.d_ff = s.size("encoder.block.0.layer.1.DenseReluDense.wo.weight", 1);
  c.num_layers = s.count("encoder.block.", ".layer.0.SelfAttention.q.weight");
  if (!s.has("encoder.block.0.layer.1.DenseReluDense.wi_1.weight"))
    s.unsupported("its feed-forward is not gated, so it is no UMT5");
  if (c.num_layers > 1 &&
      !s.has("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"))
    s.unsupported("only its first layer has relative positions: it is a T5, not the UMT5 of Wan");
  return fmt::format(
      "text encoder: {} layers, width {}, {} heads of {}, feed-forward {}, {} tokens, stored as {}",
      c.num_layers, c.d_model, c.num_heads, c.d_kv, c.d_ff, c.vocab_size, s.formats());
}

std::string sentencepiece_tensor(const std::string& file) {
  for (const TensorEntry& entry : Checkpoint::open_file(file).entries())
    if (entry.name == "spiece_model" && entry.dtype == "U8") return entry.name;
  return "";
}

}  // namespace bestreel::wan
