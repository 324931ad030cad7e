#include "sampler/wan/summary.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <set>

#include "core/base/fail.h"
#include "core/nn/checkpoint.h"

namespace bestreel::wan {
namespace {

std::string weights_of(const std::string& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return "no weights at " + file;
  const Checkpoint checkpoint = Checkpoint::open_file(file);
  std::set<std::string> formats;
  for (const TensorEntry& entry : checkpoint.entries()) formats.insert(entry.dtype);
  return fmt::format("{:.3f} M parameters, {:.3f} GB as {}, {}",
                     static_cast<double>(checkpoint.parameters()) / 1e6,
                     static_cast<double>(checkpoint.bytes()) / 1e9, fmt::join(formats, ", "), file);
}

std::string denoiser(const TransformerConfig& c) {
  return fmt::format("{} layers, {} heads of {}, feed-forward {}, {} channels, text {}",
                     c.num_layers, c.num_attention_heads, c.attention_head_dim, c.ffn_dim,
                     c.in_channels, c.text_dim);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> summarize(const std::string& folder,
                                                           const ModelOverrides& overrides) {
  const PipelineConfig c = read_pipeline_config(folder, overrides);
  std::vector<std::pair<std::string, std::string>> lines;
  const auto line = [&](const char* label, const std::string& value) {
    lines.emplace_back(label, value);
  };
  line("architecture", c.transformer_2 ? "Wan text-to-video, two denoisers" : "Wan text-to-video");
  line("denoiser", denoiser(c.transformer));
  line("", weights_of(c.files.transformer));
  if (c.transformer_2) {
    line("low noise", denoiser(*c.transformer_2));
    line("", weights_of(c.files.transformer_2));
    line("boundary", fmt::format("{} of the noise level", *c.boundary_ratio));
  }
  line("autoencoder", fmt::format("{} channels, {}x{}x{} compression", c.vae.z_dim,
                                  c.vae.scale_temporal, c.vae.scale_spatial, c.vae.scale_spatial));
  line("", weights_of(c.files.vae));
  line("text encoder", fmt::format("{} layers, width {}, {} tokens", c.text.num_layers,
                                   c.text.d_model, c.text.vocab_size));
  line("", weights_of(c.files.text_encoder));
  line("tokenizer", c.files.tokenizer.empty() ? "in the text encoder's file" : c.files.tokenizer);
  const char* solver = c.scheduler.solver == Solver::kUniPC         ? "unipc"
                       : c.scheduler.solver == Solver::kDpmSolverPP ? "dpm++"
                                                                    : "euler";
  line("scheduler", fmt::format("{}, flow shift {}", solver, c.scheduler.shift));
  for (const std::string& sentence : c.inferred) line("inferred", sentence);
  return lines;
}

}  // namespace bestreel::wan
