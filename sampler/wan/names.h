// The one place that knows under which names other tools keep the tensors of a Wan model: the
// original code's (ComfyUI's too) and llama.cpp's, beside diffusers' and transformers', which are
// ours. Torch-free. Private.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/nn/safetensors.h"

namespace bestreel::wan {

enum class Part : std::uint8_t { kTransformer, kVae, kTextEncoder };

/// Our name of a layer or tensor of the denoiser, from the original code's
/// ("blocks.0.self_attn.q.weight"); nullopt where it has none by that name.
std::optional<std::string> denoiser_name(std::string_view original);
/// And back ("blocks.0.attn1.to_q").
std::optional<std::string> original_denoiser_name(std::string_view ours);

/// What a name says of a model that is not text-to-video ("image-to-video"), or nullptr.
const char* foreign_family(std::string_view name);

/// Of each tensor of one part: our name, and the file's. Prefixes of whole checkpoints
/// ("model.diffusion_model.") are taken off; names that are ours already stay. What has no name of
/// ours keeps the file's. Error "safetensors_malformed" where two tensors have one name of ours.
std::map<std::string, std::string> stored_names(Part part, const std::string& file,
                                                const std::vector<TensorEntry>& entries);

}  // namespace bestreel::wan
