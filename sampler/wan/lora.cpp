#include "sampler/wan/lora.h"

#include <ATen/ops/mm.h>

#include <array>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/base/fail.h"
#include "core/nn/checkpoint.h"

namespace bestreel::wan {
namespace {

using Names = std::map<std::string, std::vector<std::int64_t>>;

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// The name that the original code (and so ComfyUI) has for a layer of diffusers.
std::string original_name(std::string name) {
  constexpr std::array<std::pair<const char*, const char*>, 12> kPairs{{
      {".attn1.to_out.0", ".self_attn.o"},
      {".attn2.to_out.0", ".cross_attn.o"},
      {".attn1.to_", ".self_attn."},
      {".attn2.to_", ".cross_attn."},
      {".attn1.", ".self_attn."},
      {".attn2.", ".cross_attn."},
      {".ffn.net.0.proj", ".ffn.0"},
      {".ffn.net.2", ".ffn.2"},
      {"condition_embedder.time_proj", "time_projection.1"},
      {"condition_embedder.time_embedder.linear_", "time_embedding.linear_"},
      {"condition_embedder.text_embedder.linear_", "text_embedding.linear_"},
      {"proj_out", "head.head"},
  }};
  for (const auto& [ours, theirs] : kPairs) name = replaced(std::move(name), ours, theirs);
  return replaced(replaced(std::move(name), "ing.linear_1", "ing.0"), "ing.linear_2", "ing.2");
}

// Every name that a file may have for a layer, to ours.
std::map<std::string, std::string> layer_names(const Names& names) {
  std::map<std::string, std::string> known;
  for (const auto& [tensor, shape] : names) {
    if (!tensor.ends_with(".weight")) continue;
    const std::string layer = tensor.substr(0, tensor.size() - 7), original = original_name(layer);
    for (const std::string& alias : {layer, original})
      for (const char* prefix : {"", "transformer.", "diffusion_model.", "model.diffusion_model."})
        known[prefix + alias] = layer;
    for (const std::string& alias : {layer, original})
      known["lora_unet_" + replaced(alias, ".", "_")] = layer;
  }
  return known;
}

enum class Part { kDown, kUp, kAlpha, kDiff, kBiasDiff };

std::optional<std::pair<std::string, Part>> split(const std::string& key) {
  constexpr std::array<std::pair<const char*, Part>, 9> kSuffixes{{
      {".lora_A.weight", Part::kDown},
      {".lora_A.default.weight", Part::kDown},
      {".lora_down.weight", Part::kDown},
      {".lora_B.weight", Part::kUp},
      {".lora_B.default.weight", Part::kUp},
      {".lora_up.weight", Part::kUp},
      {".alpha", Part::kAlpha},
      {".diff", Part::kDiff},
      {".diff_b", Part::kBiasDiff},
  }};
  for (const auto& [suffix, part] : kSuffixes)
    if (key.ends_with(suffix))
      return std::pair(key.substr(0, key.size() - std::string_view(suffix).size()), part);
  return std::nullopt;
}

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

}  // namespace

std::shared_ptr<const Lora> Lora::open(const std::vector<LoraFile>& files, const Names& names) {
  auto lora = std::make_shared<Lora>();
  const auto known = layer_names(names);
  for (const LoraFile& file : files) {
    const std::filesystem::path path(file.path);
    const auto unsupported = [&](const std::string& what) {
      fail("lora_unsupported", "lora",
           "{}: {}: use a LoRA made for this model (Wan text-to-video of the same size)", file.path,
           what);
    };
    if (path.extension() != ".safetensors") unsupported("it must be a .safetensors file");
    if (!std::filesystem::exists(path))
      fail("file_missing", "lora", "{} is missing: check the path", file.path);
    const Checkpoint checkpoint = Checkpoint::open(
        path.has_parent_path() ? path.parent_path().string() : ".", path.stem().string());
    struct Pair {
      at::Tensor down, up;
      std::optional<double> alpha;
    };
    std::map<std::string, Pair> pairs;
    for (const TensorEntry& entry : checkpoint.entries()) {
      const auto parts = split(entry.name);
      const auto layer = parts ? known.find(parts->first) : known.end();
      if (layer == known.end())
        unsupported(fmt::format("{} is no addition to a layer of this model", entry.name));
      const at::Tensor tensor = checkpoint.tensor(entry.name).to(at::kFloat);
      Pair& pair = pairs[layer->second];
      switch (parts->second) {
        case Part::kDown:
          pair.down = tensor.flatten(1);
          break;
        case Part::kUp:
          pair.up = tensor.flatten(1);
          break;
        case Part::kAlpha:
          pair.alpha = tensor.reshape({-1})[0].item<double>();
          break;
        case Part::kDiff:
        case Part::kBiasDiff: {
          const std::string name =
              layer->second + (parts->second == Part::kDiff ? ".weight" : ".bias");
          const auto target = names.find(name);
          if (target == names.end() || elements(target->second) != tensor.numel())
            unsupported(fmt::format("{} does not fit the layer", entry.name));
          lora->deltas_[name].push_back({.full = tensor, .scale = file.scale});
          break;
        }
      }
    }
    for (const auto& [layer, pair] : pairs) {
      if (!pair.down.defined() && !pair.up.defined()) continue;  // only a .diff
      const std::string name = layer + ".weight";
      const std::vector<std::int64_t>& shape = names.at(name);
      if (!pair.down.defined() || !pair.up.defined() || pair.down.size(0) != pair.up.size(1) ||
          pair.up.size(0) != shape[0] || pair.down.size(1) * shape[0] != elements(shape))
        unsupported(fmt::format("its matrices for {} do not fit the layer's shape [{}]", layer,
                                fmt::join(shape, ", ")));
      const auto rank = static_cast<double>(pair.down.size(0));
      lora->deltas_[name].push_back({.down = pair.down,
                                     .up = pair.up,
                                     .scale = file.scale * pair.alpha.value_or(rank) / rank});
    }
  }
  return lora;
}

at::Tensor Lora::merged(const std::string& name, const at::Tensor& weight) const {
  const auto at = deltas_.find(name);
  if (at == deltas_.end()) return weight;
  at::Tensor sum = weight.to(at::kFloat).clone();
  for (const Delta& delta : at->second) {
    const at::Tensor full = delta.full.defined() ? delta.full : at::mm(delta.up, delta.down);
    sum.add_(full.view(sum.sizes()), delta.scale);
  }
  return sum.to(weight.scalar_type());
}

}  // namespace bestreel::wan
