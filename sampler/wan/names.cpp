#include "sampler/wan/names.h"

#include <array>
#include <charconv>
#include <set>
#include <span>

#include "core/base/fail.h"

namespace bestreel::wan {
namespace {

struct Pair {
  std::string_view ours, theirs;  // "{}" stands for a number
};

constexpr Pair kDenoiser[] = {
    {"patch_embedding", "patch_embedding"},
    {"condition_embedder.time_embedder.linear_1", "time_embedding.0"},
    {"condition_embedder.time_embedder.linear_2", "time_embedding.2"},
    {"condition_embedder.time_proj", "time_projection.1"},
    {"condition_embedder.text_embedder.linear_1", "text_embedding.0"},
    {"condition_embedder.text_embedder.linear_2", "text_embedding.2"},
    {"proj_out", "head.head"},
    {"scale_shift_table", "head.modulation"},
    {"blocks.{}.scale_shift_table", "blocks.{}.modulation"},
    {"blocks.{}.attn1.to_q", "blocks.{}.self_attn.q"},
    {"blocks.{}.attn1.to_k", "blocks.{}.self_attn.k"},
    {"blocks.{}.attn1.to_v", "blocks.{}.self_attn.v"},
    {"blocks.{}.attn1.to_out.0", "blocks.{}.self_attn.o"},
    {"blocks.{}.attn1.norm_q", "blocks.{}.self_attn.norm_q"},
    {"blocks.{}.attn1.norm_k", "blocks.{}.self_attn.norm_k"},
    {"blocks.{}.attn2.to_q", "blocks.{}.cross_attn.q"},
    {"blocks.{}.attn2.to_k", "blocks.{}.cross_attn.k"},
    {"blocks.{}.attn2.to_v", "blocks.{}.cross_attn.v"},
    {"blocks.{}.attn2.to_out.0", "blocks.{}.cross_attn.o"},
    {"blocks.{}.attn2.norm_q", "blocks.{}.cross_attn.norm_q"},
    {"blocks.{}.attn2.norm_k", "blocks.{}.cross_attn.norm_k"},
    {"blocks.{}.norm2", "blocks.{}.norm3"},  // each counts the norms in another order
    {"blocks.{}.ffn.net.0.proj", "blocks.{}.ffn.0"},
    {"blocks.{}.ffn.net.2", "blocks.{}.ffn.2"},
};

#define BLOCK "encoder.block.{}.layer."
constexpr Pair kText[] = {
    {"shared", "token_embedding"},
    {"encoder.final_layer_norm", "norm"},
    {BLOCK "0.layer_norm", "blocks.{}.norm1"},
    {BLOCK "1.layer_norm", "blocks.{}.norm2"},
    {BLOCK "0.SelfAttention.q", "blocks.{}.attn.q"},
    {BLOCK "0.SelfAttention.k", "blocks.{}.attn.k"},
    {BLOCK "0.SelfAttention.v", "blocks.{}.attn.v"},
    {BLOCK "0.SelfAttention.o", "blocks.{}.attn.o"},
    {BLOCK "0.SelfAttention.relative_attention_bias", "blocks.{}.pos_embedding.embedding"},
    {BLOCK "1.DenseReluDense.wi_0", "blocks.{}.ffn.gate.0"},
    {BLOCK "1.DenseReluDense.wi_1", "blocks.{}.ffn.fc1"},
    {BLOCK "1.DenseReluDense.wo", "blocks.{}.ffn.fc2"},
    // llama.cpp's, as GGUF files have them
    {"shared", "token_embd"},
    {"encoder.final_layer_norm", "enc.output_norm"},
    {BLOCK "0.layer_norm", "enc.blk.{}.attn_norm"},
    {BLOCK "1.layer_norm", "enc.blk.{}.ffn_norm"},
    {BLOCK "0.SelfAttention.q", "enc.blk.{}.attn_q"},
    {BLOCK "0.SelfAttention.k", "enc.blk.{}.attn_k"},
    {BLOCK "0.SelfAttention.v", "enc.blk.{}.attn_v"},
    {BLOCK "0.SelfAttention.o", "enc.blk.{}.attn_o"},
    {BLOCK "0.SelfAttention.relative_attention_bias", "enc.blk.{}.attn_rel_b"},
    {BLOCK "1.DenseReluDense.wi_0", "enc.blk.{}.ffn_gate"},
    {BLOCK "1.DenseReluDense.wi_1", "enc.blk.{}.ffn_up"},
    {BLOCK "1.DenseReluDense.wo", "enc.blk.{}.ffn_down"},
};
#undef BLOCK

constexpr Pair kVae[] = {
    {"quant_conv", "conv1"},
    {"post_quant_conv", "conv2"},
    {"{side}.conv_in", "{side}.conv1"},
    {"{side}.norm_out", "{side}.head.0"},
    {"{side}.conv_out", "{side}.head.2"},
    {"{side}.mid_block.resnets.0", "{side}.middle.0"},
    {"{side}.mid_block.attentions.0", "{side}.middle.1"},
    {"{side}.mid_block.resnets.1", "{side}.middle.2"},
};

constexpr Pair kVaeBlock[] = {
    {"norm1", "residual.0"}, {"conv1", "residual.2"},       {"norm2", "residual.3"},
    {"conv2", "residual.6"}, {"conv_shortcut", "shortcut"},
};

/// `name` with `from` at its start replaced by `to`, if it starts so and a part of it ends there.
std::optional<std::string> renamed(std::string_view name, std::string_view from,
                                   std::string_view to) {
  std::string_view number;
  std::size_t at = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from.substr(i, 2) == "{}") {
      const std::size_t end = std::min(name.find_first_not_of("0123456789", at), name.size());
      if (end == at) return std::nullopt;
      number = name.substr(at, end - at);
      at = end;
      ++i;
    } else if (at >= name.size() || name[at++] != from[i]) {
      return std::nullopt;
    }
  }
  if (at < name.size() && name[at] != '.') return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to.substr(i, 2) == "{}") {
      out += number;
      ++i;
    } else {
      out += to[i];
    }
  }
  out += name.substr(at);
  return out;
}

std::optional<std::string> renamed(std::string_view name, std::span<const Pair> table) {
  for (const Pair& pair : table)
    if (auto found = renamed(name, pair.theirs, pair.ours)) return found;
  return std::nullopt;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string join(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) out += (out.empty() ? "" : ".") + std::string(word);
  return out;
}

/// The autoencoder's levels: the original keeps their layers in one list (Wan2.1) or in one list a
/// level (Wan2.2, whose levels have shortcuts).
class VaeNames {
 public:
  explicit VaeNames(const std::vector<TensorEntry>& entries) {
    std::map<int, bool> flat;  // of the decoder: number to whether it scales
    for (const TensorEntry& entry : entries) {
      const auto words = split(entry.name);
      if (words.size() > 4 && words[0] == "decoder" && words[1] == "upsamples") {
        if (words[3] == "upsamples")
          residual_ = true;
        else if (is_number(words[2]))
          flat[number(words[2])] |= words[3] == "resample" || words[3] == "time_conv";
      }
    }
    int level = 0, index = 0;
    for (const auto& [n, scales] : flat) {
      levels_[n] = {level, index++};
      if (scales) ++level, index = 0;
    }
  }

  std::optional<std::string> ours(std::string_view name) const {
    for (const char* side : {"encoder", "decoder"})
      for (const Pair& pair : kVae) {
        const auto with_side = [&](std::string_view text) {
          std::string out(text);
          if (const std::size_t at = out.find("{side}"); at != std::string::npos)
            out.replace(at, 6, side);
          return out;
        };
        if (auto found = renamed(name, with_side(pair.theirs), with_side(pair.ours)))
          return inner(*found);
      }
    const auto words = split(name);
    if (words.size() < 4 || !is_number(words[2])) return std::nullopt;
    if (words[0] == "encoder" && words[1] == "downsamples") {
      if (!residual_)  // there they are one list here too
        return inner(
            fmt::format("encoder.down_blocks.{}.{}", words[2], join(std::span(words).subspan(3))));
      return layer("encoder.down_blocks", "downsampler", words);
    }
    if (words[0] == "decoder" && words[1] == "upsamples") {
      if (residual_) return layer("decoder.up_blocks", "upsampler", words);
      const auto at = levels_.find(number(words[2]));
      if (at == levels_.end()) return std::nullopt;
      const std::string rest = join(std::span(words).subspan(3));
      const std::string level = fmt::format("decoder.up_blocks.{}", at->second.first);
      if (words[3] == "resample" || words[3] == "time_conv")
        return fmt::format("{}.upsamplers.0.{}", level, rest);
      return inner(fmt::format("{}.resnets.{}.{}", level, at->second.second, rest));
    }
    return std::nullopt;
  }

 private:
  static int number(std::string_view word) {
    int value = -1;
    std::from_chars(word.data(), word.data() + word.size(), value);
    return value;
  }

  static std::optional<std::string> layer(const char* levels, const char* sampler,
                                          const std::vector<std::string_view>& words) {
    if (words.size() < 6 || !is_number(words[4])) return std::nullopt;
    const std::string rest = join(std::span(words).subspan(5));
    if (words[5] == "resample" || words[5] == "time_conv")
      return fmt::format("{}.{}.{}.{}", levels, words[2], sampler, rest);
    return inner(fmt::format("{}.{}.resnets.{}.{}", levels, words[2], words[4], rest));
  }

  /// Within a residual block.
  static std::string inner(std::string name) {
    for (const Pair& pair : kVaeBlock) {
      const std::size_t at = name.find("." + std::string(pair.theirs) + ".");
      if (at != std::string::npos) return name.replace(at + 1, pair.theirs.size(), pair.ours);
    }
    return name;
  }

  bool residual_ = false;
  std::map<int, std::pair<int, int>> levels_;
};

}  // namespace

std::optional<std::string> denoiser_name(std::string_view original) {
  return renamed(original, kDenoiser);
}

std::optional<std::string> original_denoiser_name(std::string_view ours) {
  for (const Pair& pair : kDenoiser)
    if (auto found = renamed(ours, pair.ours, pair.theirs)) return found;
  return std::nullopt;
}

const char* foreign_family(std::string_view name) {
  constexpr std::pair<std::string_view, const char*> kMarks[] = {
      {"img_emb", "image-to-video"},      {"k_img", "image-to-video"},
      {"v_img", "image-to-video"},        {"image_embedder", "image-to-video"},
      {"add_k_proj", "image-to-video"},   {"add_v_proj", "image-to-video"},
      {"norm_added_k", "image-to-video"}, {"vace_", "VACE"},
      {"control_adapter", "Fun-Control"}, {"ref_conv", "Fun-Control"},
      {"audio_", "speech-to-video"},      {"face_adapter", "Animate"},
      {"motion_encoder", "Animate"},
  };
  for (const auto& [mark, family] : kMarks)
    if (name.find(mark) != std::string_view::npos) return family;
  return nullptr;
}

std::map<std::string, std::string> stored_names(Part part, const std::string& file,
                                                const std::vector<TensorEntry>& entries) {
  std::map<std::string, std::string> names;
  std::optional<VaeNames> vae;
  if (part == Part::kVae) vae.emplace(entries);
  for (const TensorEntry& entry : entries) {
    std::string_view name = entry.name;
    for (const std::string_view prefix :
         {"model.diffusion_model.", "diffusion_model.", "transformer.", "first_stage_model.",
          "vae.", "text_encoders.umt5xxl.transformer.", "cond_stage_model.", "model."})
      if (name.starts_with(prefix)) {
        name.remove_prefix(prefix.size());
        break;
      }
    std::optional<std::string> ours = part == Part::kTransformer ? denoiser_name(name)
                                      : part == Part::kVae       ? vae->ours(name)
                                                                 : renamed(name, kText);
    const auto [at, added] = names.emplace(ours.value_or(std::string(name)), entry.name);
    if (!added)
      fail("safetensors_malformed", "checkpoint",
           "{} holds {} and {}, which are one tensor under two names: use a file of one model",
           file, at->second, entry.name);
  }
  return names;
}

}  // namespace bestreel::wan
