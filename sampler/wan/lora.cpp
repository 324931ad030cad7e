#include "sampler/wan/lora.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/mm.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/nn/checkpoint.h"
#include "sampler/wan/lora_scale.h"
#include "sampler/wan/names.h"

namespace bestreel::wan {
namespace {

namespace fs = std::filesystem;

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

enum class Role { kDown, kUp, kAlpha, kDiff, kBiasDiff, kTableDiff, kScaledBias };

/// A key, cut: "blocks.0.attn1.to_q" and what the tensor is to that layer.
struct Key {
  std::string layer;
  Role role;
};

std::optional<Key> cut(const std::string& key) {
  constexpr std::array<std::pair<std::string_view, Role>, 6> kMatrices{{
      {".lora_A", Role::kDown},
      {".lora_down", Role::kDown},
      {".lora.down", Role::kDown},
      {".lora_B", Role::kUp},
      {".lora_up", Role::kUp},
      {".lora.up", Role::kUp},
  }};
  for (const auto& [mark, role] : kMatrices) {
    const std::size_t at = key.rfind(mark);
    if (at == std::string::npos) continue;
    // ".weight", or the adapter's name before it (".default.weight").
    std::string_view rest = std::string_view(key).substr(at + mark.size());
    if (const std::size_t dot = rest.rfind('.'); dot != std::string_view::npos && dot > 0) {
      if (rest.substr(1, dot - 1).find('.') != std::string_view::npos) continue;
      rest = rest.substr(dot);
    }
    if (rest == ".weight" || rest.empty()) return Key{key.substr(0, at), role};
    if (rest == ".bias" && role == Role::kUp) return Key{key.substr(0, at), Role::kScaledBias};
  }
  constexpr std::array<std::pair<std::string_view, Role>, 4> kOthers{{
      {".alpha", Role::kAlpha},
      {".diff", Role::kDiff},
      {".diff_b", Role::kBiasDiff},
      {".diff_m", Role::kTableDiff},
  }};
  for (const auto& [suffix, role] : kOthers)
    if (key.ends_with(suffix)) return Key{key.substr(0, key.size() - suffix.size()), role};
  return std::nullopt;
}

/// Other kinds of adapters, by what only their keys hold.
const char* other_kind(const std::string& key) {
  constexpr std::pair<std::string_view, const char*> kMarks[] = {
      {"dora_scale", "DoRA"},
      {"lora_magnitude_vector", "DoRA"},
      {"hada_", "LoHa"},
      {"lokr_", "LoKr"},
      {"lora_mid", "LoCon with a core"},
      {"oft_", "OFT"},
      {".boft", "BOFT"},
      {"set_weight", "a patch that replaces weights"},
      {"lora_te", "LoRA of a text encoder"},
      {"text_encoder", "LoRA of a text encoder"},
  };
  for (const auto& [mark, kind] : kMarks)
    if (key.find(mark) != std::string::npos) return kind;
  return nullptr;
}

constexpr std::string_view kSecond = "transformer_2.";

}  // namespace

/// One file, read into a Lora.
class LoraReader {
 public:
  LoraReader(const LoraFile& file, const Lora::Names& names, bool second, int denoisers, Lora& out)
      : file_(file), names_(names), second_(second), denoisers_(denoisers), out_(out) {}

  void read() {
    check();
    const Checkpoint checkpoint = Checkpoint::open_file(file_.path);
    for (const TensorEntry& entry : checkpoint.entries()) any_second_ |= is_second(entry.name);
    if (any_second_ && (denoisers_ < 2 || file_.target == LoraTarget::kHigh))
      unsupported(denoisers_ < 2
                      ? "it has keys for a second denoiser (transformer_2.), and this model has one"
                      : "it was given as high=, but it has keys of the low-noise denoiser "
                        "(transformer_2.): give it without high=");
    for (const TensorEntry& entry : checkpoint.entries()) {
      if (const char* kind = other_kind(entry.name))
        unsupported(fmt::format("{:.100} makes it {}, which is not supported", entry.name, kind));
      if (mine(entry.name)) add(checkpoint, entry.name);
    }
    read_configs(checkpoint);
    for (const auto& [layer, pair] : pairs_) finish(layer, pair);
  }

 private:
  struct Pair {
    at::Tensor down, up, bias;
    std::optional<double> alpha;
    std::string prefix;  // "transformer.", "" ...
  };

  [[noreturn]] void unsupported(const std::string& what) const {
    fail("lora_unsupported", "lora",
         "{}: {}: use a LoRA made for this model (Wan text-to-video of the same size)", file_.path,
         what);
  }

  void check() const {
    if (!std::isfinite(file_.scale))
      fail_usage("lora", "the scale of {} must be a finite number but is {}", file_.path,
                 file_.scale);
    if (file_.target == LoraTarget::kLow && denoisers_ < 2)
      fail_usage("lora", "low={} needs a model with two denoisers (Wan2.2 A14B), and this has one",
                 file_.path);
    if (fs::path(file_.path).extension() != ".safetensors")
      unsupported("it must be a .safetensors file");
    if (!fs::exists(file_.path))
      fail("file_missing", "lora", "{} is missing: check the path", file_.path);
  }

  static bool is_second(const std::string& key) { return key.starts_with(kSecond); }

  /// Whether the key is for the denoiser at hand.
  bool mine(const std::string& key) const {
    if (file_.target == LoraTarget::kHigh) return !second_;
    if (file_.target == LoraTarget::kLow) return second_;
    return is_second(key) == second_;
  }

  /// Ours, of a layer under any tool's name; `prefix` is what stood before it.
  std::optional<std::string> layer_of(std::string name, std::string& prefix) {
    for (const std::string_view known :
         {"base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.",
          "transformer_2.", "unet."})
      if (name.starts_with(known)) {
        prefix = known;
        name.erase(0, known.size());
        break;
      }
    if (layers_.empty()) {
      for (const auto& [tensor, shape] : names_) {
        std::string layer = tensor;
        for (const std::string_view end : {".weight", ".bias"})
          if (layer.ends_with(end)) layer.resize(layer.size() - end.size());
        const auto underscored = [](std::string text) {
          for (char& c : text)
            if (c == '.') c = '_';
          return text;
        };
        layers_[layer] = layer;
        layers_["lora_unet_" + underscored(layer)] = layer;
        if (const auto original = original_denoiser_name(layer)) {
          layers_[*original] = layer;
          for (const char* kohya : {"lora_unet_", "lora_unet__", "lycoris_"})
            layers_[kohya + underscored(*original)] = layer;
        }
      }
    }
    const auto at = layers_.find(name);
    if (at == layers_.end()) return std::nullopt;
    return at->second;
  }

  void add(const Checkpoint& checkpoint, const std::string& name) {
    const auto key = cut(name);
    std::string prefix;
    std::optional<std::string> layer;
    if (key && key->role == Role::kTableDiff) {
      // The modulation of a block, or of the head, by the name of the whole.
      layer = layer_of(key->layer + ".modulation", prefix);
    } else if (key) {
      layer = layer_of(key->layer, prefix);
    }
    if (!layer) {
      const char* family = foreign_family(name);
      if (key && family != nullptr && std::string_view(family) == "image-to-video") {
        if (passed_over_++ == 0)
          out_.warnings_.push_back(fmt::format(
              "{}: {:.100} belongs to an image-to-video model and has no place in this one: such "
              "keys are passed over, as the reference does",
              file_.path, name));
        return;
      }
      unsupported(fmt::format("{:.100} is no addition to a layer of this model", name));
    }
    const at::Tensor tensor = checkpoint.tensor(name);
    switch (key->role) {
      case Role::kDown:
      case Role::kUp: {
        if (tensor.dim() < 2 || tensor.numel() == 0)
          unsupported(fmt::format("{:.100} must be a matrix but has the shape [{}]", name,
                                  fmt::join(tensor.sizes(), ", ")));
        Pair& pair = pairs_[*layer];
        at::Tensor& half = key->role == Role::kDown ? pair.down : pair.up;
        if (half.defined()) unsupported(fmt::format("it holds two matrices for {}", *layer));
        half = tensor.flatten(1);
        pair.prefix = prefix;
        break;
      }
      case Role::kAlpha: {
        if (tensor.numel() != 1)
          unsupported(fmt::format("{:.100} must be one number but holds {}", name, tensor.numel()));
        const double alpha = tensor.to(at::kFloat).reshape({-1})[0].item<double>();
        if (!std::isfinite(alpha))
          unsupported(fmt::format("{:.100} must be a finite number but is {}", name, alpha));
        pairs_[*layer].alpha = alpha;
        break;
      }
      case Role::kScaledBias:
        pairs_[*layer].bias = tensor;
        break;
      case Role::kDiff:
      case Role::kBiasDiff:
      case Role::kTableDiff: {
        std::string target = *layer;
        if (!names_.contains(target) || key->role == Role::kBiasDiff)
          target += key->role == Role::kBiasDiff ? ".bias" : ".weight";
        whole(name, target, tensor, file_.scale);
        break;
      }
    }
  }

  /// An addition as it is.
  void whole(const std::string& name, const std::string& target, const at::Tensor& tensor,
             double scale) {
    const auto shape = names_.find(target);
    if (shape == names_.end() || elements(shape->second) != tensor.numel())
      unsupported(fmt::format(
          "{:.100} with the shape [{}] does not fit {}", name, fmt::join(tensor.sizes(), ", "),
          shape == names_.end() ? fmt::format("the layer, which has no {}", target)
                                : fmt::format("[{}]", fmt::join(shape->second, ", "))));
    out_.deltas_[target].push_back({.full = tensor, .scale = scale, .file = file_.path});
  }

  void read_configs(const Checkpoint& checkpoint) {
    std::set<std::string> prefixes;
    for (const auto& [layer, pair] : pairs_) prefixes.insert(pair.prefix);
    const auto metadata = checkpoint.metadata();
    if (const auto text = metadata.find("lora_adapter_metadata"); text != metadata.end()) {
      const std::string source = "the metadata (lora_adapter_metadata) of " + file_.path;
      for (const std::string& prefix : prefixes) {
        auto config = PeftConfig::read(text->second, prefix, source);
        // Saved from a model alone, the keys have no prefix; as a pipeline's, they do.
        if (!config && !prefix.empty()) config = PeftConfig::read(text->second, "", source);
        if (config) configs_[prefix].push_back(*config);
      }
    }
    const fs::path beside = fs::path(file_.path).parent_path() / "adapter_config.json";
    std::error_code ignored;
    if (fs::exists(beside, ignored))
      if (const auto config = PeftConfig::read(read_file(beside.string()), "", beside.string()))
        for (const std::string& prefix : prefixes) configs_[prefix].push_back(*config);
  }

  void finish(const std::string& layer, const Pair& pair) {
    const std::string name = layer + ".weight";
    const auto target = names_.find(name);
    if (target == names_.end()) unsupported(fmt::format("{} has no matrix to add to", layer));
    const std::vector<std::int64_t>& shape = target->second;
    if (!pair.down.defined() && !pair.up.defined() && !pair.bias.defined())
      return;  // an alpha beside a .diff
    if (!pair.down.defined() || !pair.up.defined() || pair.down.size(0) != pair.up.size(1) ||
        pair.up.size(0) != shape[0] || pair.down.size(1) * shape[0] != elements(shape))
      unsupported(fmt::format("its matrices for {} do not fit the layer's shape [{}]", layer,
                              fmt::join(shape, ", ")));
    const std::int64_t rank = pair.down.size(0);
    double scale = 1;
    std::string source;
    const auto says = [&](double value, const std::string& who) {
      if (!source.empty() && std::abs(value - scale) > 1e-6 * std::abs(scale))
        unsupported(fmt::format("the scale of {} is {} by {} but {} by {}", layer, scale, source,
                                value, who));
      scale = value;
      source = who;
    };
    if (pair.alpha) says(*pair.alpha / static_cast<double>(rank), "its alpha tensor");
    for (const PeftConfig& config : configs_[pair.prefix])
      says(config.scale(file_.path, layer, original_denoiser_name(layer).value_or(layer), rank),
           config.source());
    scale *= file_.scale;
    out_.deltas_[name].push_back(
        {.down = pair.down, .up = pair.up, .scale = scale, .file = file_.path});
    if (pair.bias.defined()) whole(layer + ".lora_B.bias", layer + ".bias", pair.bias, scale);
  }

  const LoraFile& file_;
  const Lora::Names& names_;
  bool second_;
  int denoisers_;
  Lora& out_;
  bool any_second_ = false;
  int passed_over_ = 0;
  std::map<std::string, std::string> layers_;               // any tool's name to ours
  std::map<std::string, Pair> pairs_;                       // by our layer
  std::map<std::string, std::vector<PeftConfig>> configs_;  // by prefix
};

LoraFile parse_lora(const std::string& text) {
  LoraFile file{text};
  std::error_code ignored;
  if (fs::exists(text, ignored)) return file;
  for (const auto& [word, target] : {std::pair(std::string_view("high="), LoraTarget::kHigh),
                                     std::pair(std::string_view("low="), LoraTarget::kLow)})
    if (text.starts_with(word)) {
      file.target = target;
      file.path = text.substr(word.size());
    }
  if (fs::exists(file.path, ignored)) return file;
  // A path may hold these signs itself: only what follows the last one is a scale.
  const std::size_t at = file.path.find_last_of("=:");
  if (at == std::string::npos) return file;  // missing: said when it is opened
  const char* const begin = file.path.data() + at + 1;
  const char* const end = file.path.data() + file.path.size();
  const auto parsed = std::from_chars(begin, end, file.scale);
  if (begin == end || parsed.ptr != end || parsed.ec != std::errc() || !std::isfinite(file.scale))
    fail_usage(
        "lora",
        "a LoRA must be FILE or FILE=SCALE with a finite number, high= or low= before it for "
        "one of two denoisers, but got {}",
        text);
  file.path.resize(at);
  return file;
}

std::shared_ptr<const Lora> Lora::open(const std::vector<LoraFile>& files, const Names& names,
                                       bool second, int denoisers) {
  auto lora = std::make_shared<Lora>();
  for (const LoraFile& file : files) LoraReader(file, names, second, denoisers, *lora).read();
  return lora;
}

at::Tensor Lora::merged(const std::string& name, const at::Tensor& weight) const {
  const auto at = deltas_.find(name);
  if (at == deltas_.end()) return weight;
  at::Tensor sum = weight.to(at::kFloat).clone();
  for (const Delta& delta : at->second) {
    const at::Tensor full = delta.full.defined()
                                ? delta.full.to(at::kFloat)
                                : at::mm(delta.up.to(at::kFloat), delta.down.to(at::kFloat));
    if (!at::isfinite(full).all().item<bool>())
      fail("lora_unsupported", "lora",
           "{}: its addition to {} must be finite but holds NaN or infinity: download it again",
           delta.file, name);
    sum.add_(full.view(sum.sizes()), delta.scale);
  }
  return sum.to(weight.scalar_type());
}

}  // namespace bestreel::wan
