#include "plugin/registration.h"

#include <filesystem>
#include <iostream>

#include "core/base/fail.h"
#include "core/nn/device.h"
#include "sampler/wan/engine.h"
#include "sampler/wan/plan.h"
#include "sampler/wan/summary.h"

namespace bestreel {
namespace {

using enum OptionKind;

std::vector<OptionSpec> engine_options() {
  const auto dtype = [](const char* name, const char* of) {
    return OptionSpec{.name = name,
                      .kind = kChoice,
                      .metavar = "D",
                      .help = fmt::format("fp32 or bf16: {}", of),
                      .fallback = "fp32",
                      .choices = {"fp32", "bf16"}};
  };
  const auto file = [](const char* name, const char* help) {
    return OptionSpec{
        .name = name, .kind = kPath, .scope = OptionScope::kPlace, .metavar = "FILE", .help = help};
  };
  return {
      {.name = "guidance-2",
       .aliases = {"guidance-scale-2"},
       .kind = kReal,
       .metavar = "G",
       .help = "of the second denoiser (Wan2.2)"},
      {.name = "stochastic",
       .kind = kChoice,
       .metavar = "S",
       .help = "none, flow-sde, cps or ddim",
       .fallback = "none",
       .choices = {"none", "flow-sde", "cps", "ddim"}},
      {.name = "sde-eta",
       .kind = kReal,
       .metavar = "E",
       .help = "strength of --stochastic",
       .fallback = "0.7",
       .low = 0,
       .high = 10},
      {.name = "lora",
       .kind = kPaths,
       .scope = OptionScope::kPlace,
       .metavar = "FILE[=SCALE]",
       .help = "merged into the denoiser; high=FILE and low=FILE for one of two; may be given "
               "several times",
       .prefixes = {"high=", "low="}},
      file("model-file", "the denoiser as one file, .safetensors or .gguf (high noise, of two)"),
      file("model-file-2", "the low-noise denoiser of Wan2.2 as one file"),
      file("vae-file", "the autoencoder as one file"),
      file("text-encoder-file", "the text encoder as one file"),
      file("tokenizer", "a folder, tokenizer.json or spiece.model"),
      {.name = "scheduler",
       .kind = kChoice,
       .metavar = "S",
       .help = "unipc, dpm++ or euler (the checkpoint's)",
       .choices = {"unipc", "dpm++", "euler"}},
      {.name = "flow-shift",
       .kind = kReal,
       .metavar = "F",
       .help = "of the noise levels (the checkpoint's)",
       .low = 0,
       .high = 1000,
       .above = true},
      dtype("model-dtype", "denoiser and text encoder"),
      dtype("vae-dtype", "the autoencoder"),
      {.name = "preview-decoder",
       .kind = kPath,
       .scope = OptionScope::kPlace,
       .metavar = "FILE",
       .help = "a small decoder for previews, TAEHV layout (the model's own)"}};
}

wan::ModelOverrides overrides_of(const OptionValues& values) {
  wan::ModelOverrides overrides{.model_file = values.text("model-file"),
                                .model_file_2 = values.text("model-file-2"),
                                .vae_file = values.text("vae-file"),
                                .text_encoder_file = values.text("text-encoder-file"),
                                .tokenizer = values.text("tokenizer"),
                                .scheduler = {.solver = values.text("scheduler"), .shift = {}}};
  if (values.has("flow-shift")) overrides.scheduler.shift = values.real("flow-shift");
  return overrides;
}

/// A folder of the Hub's, or single files in the place of some or all of it.
bool recognises(const OptionValues& values, const std::string& folder) {
  for (const char* part : {"model-file", "vae-file", "text-encoder-file"})
    if (values.has(part)) return true;
  std::error_code ignored;
  return !folder.empty() &&
         std::filesystem::exists(std::filesystem::path(folder) / "model_index.json", ignored);
}

wan::VideoSize size_of(const OptionValues& values) {
  const auto size = values.list<std::int64_t>("size");
  return {size.at(0), size.at(1), values.integer("frames")};
}

std::unique_ptr<Engine> make(const OptionValues& values, const EngineContext& context) {
  wan::EngineOptions options;
  options.settings.size = size_of(values);
  options.settings.steps = values.integer("steps");
  options.settings.guidance = values.real("guidance");
  if (values.has("guidance-2")) options.settings.guidance_2 = values.real("guidance-2");
  options.settings.noise.stochastic = parse_stochastic(values.text("stochastic"));
  options.settings.noise.eta = values.real("sde-eta");
  options.fps = {values.integer("fps"), 1};
  options.threads = context.threads;
  options.preview_decoder = values.text("preview-decoder");
  std::vector<wan::LoraFile> lora;
  for (const std::string& text : values.list<std::string>("lora"))
    lora.push_back(wan::parse_lora(text));
  const auto pipeline = wan::Pipeline::load({.folder = context.folder,
                                             .dtype = values.text("model-dtype"),
                                             .vae_dtype = values.text("vae-dtype"),
                                             .device = nn::parse_device(context.device),
                                             .lora = std::move(lora),
                                             .overrides = overrides_of(values),
                                             .on_warning = [](const std::string& warning) {
                                               std::cerr << "[generate] warning: " << warning
                                                         << "\n";
                                             }});
  return wan::make_engine(pipeline, options);
}

std::int64_t tokens_of(std::size_t bytes) { return static_cast<std::int64_t>(bytes) / 4 + 8; }

EngineNeeds estimate(const OptionValues& values, const EngineContext& context) {
  wan::GeneratorPlanOptions options;
  options.folder = context.folder;
  options.overrides = overrides_of(values);
  options.size = size_of(values);
  options.steps = values.integer("steps");
  options.guidance = values.real("guidance");
  options.dtype = values.text("model-dtype");
  options.vae_dtype = values.text("vae-dtype");
  // A prompt that is not known yet is a long one.
  options.prompt_tokens = tokens_of(values.has("prompt") ? values.text("prompt").size() : 200);
  options.negative_tokens = tokens_of(values.text("negative-prompt").size());
  const wan::GeneratorSize size = wan::plan_wan(options);
  return {size.need, size.tokens, size.from_headers};
}

std::vector<Remedy> precision_remedies(const OptionValues&) {
  Remedy half{.words = "--model-dtype bf16 --vae-dtype bf16", .changes = {}};
  half.changes.set("model-dtype", std::string("bf16"));
  half.changes.set("vae-dtype", std::string("bf16"));
  return {half};
}

std::vector<Remedy> picture_remedies(const OptionValues& values) {
  std::vector<Remedy> remedies;
  const wan::VideoSize size = size_of(values);
  for (std::int64_t frames = (size.frames / 8) * 4 + 1; frames > 1 && frames < size.frames;
       frames = (frames / 8) * 4 + 1) {
    remedies.push_back(
        {.words = fmt::format("fewer frames: pass --frames {}", frames), .changes = {}});
    remedies.back().changes.set("frames", frames);
  }
  const std::vector<std::int64_t> half{size.width / 32 * 16, size.height / 32 * 16};
  remedies.push_back(
      {.words = fmt::format("a smaller picture: pass --size {}x{}", half[0], half[1]),
       .changes = {}});
  remedies.back().changes.set("size", half);
  return remedies;
}

}  // namespace

void register_wan(Registry& registry) {
  registry.engines.push_back({.name = "wan",
                              .summary = "a Wan checkpoint, diffusers layout",
                              .options = engine_options(),
                              .recognises = recognises,
                              .make = make,
                              .estimate = estimate,
                              .summarize =
                                  [](const OptionValues& values, const std::string& folder) {
                                    return wan::summarize(folder, overrides_of(values));
                                  },
                              .precision_remedies = precision_remedies,
                              .picture_remedies = picture_remedies});
}

}  // namespace bestreel
