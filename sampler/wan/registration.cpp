#include "plugin/registration.h"

#include <filesystem>

#include "core/base/fail.h"
#include "core/nn/device.h"
#include "sampler/wan/engine.h"
#include "sampler/wan/plan.h"

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
  return {{.name = "guidance-2",
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
           .metavar = "FILE[:SCALE]",
           .help = "merged into the denoiser; may be given several times"},
          dtype("model-dtype", "denoiser and text encoder"),
          dtype("vae-dtype", "the autoencoder"),
          {.name = "preview-decoder",
           .kind = kPath,
           .scope = OptionScope::kPlace,
           .metavar = "FILE",
           .help = "a small decoder for previews, TAEHV layout (the model's own)"}};
}

/// FILE or FILE:SCALE; a path may hold a colon itself.
wan::LoraFile lora_file(const std::string& op, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (std::filesystem::exists(text) || colon == std::string::npos) return {text, 1.0};
  static const OptionSpec scale{.name = "lora's scale", .kind = kReal};
  const std::string number = text.substr(colon + 1);
  return {text.substr(0, colon), std::get<double>(parse_option(op, scale, std::span(&number, 1)))};
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
    lora.push_back(lora_file(context.op, text));
  const auto pipeline = wan::Pipeline::load({.folder = context.folder,
                                             .dtype = values.text("model-dtype"),
                                             .vae_dtype = values.text("vae-dtype"),
                                             .device = nn::parse_device(context.device),
                                             .lora = std::move(lora)});
  return wan::make_engine(pipeline, options);
}

std::int64_t tokens_of(std::size_t bytes) { return static_cast<std::int64_t>(bytes) / 4 + 8; }

EngineNeeds estimate(const OptionValues& values, const EngineContext& context) {
  wan::GeneratorPlanOptions options;
  options.folder = context.folder;
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
                              .recognises =
                                  [](const std::string& folder) {
                                    return std::filesystem::exists(std::filesystem::path(folder) /
                                                                   "model_index.json");
                                  },
                              .make = make,
                              .estimate = estimate,
                              .precision_remedies = precision_remedies,
                              .picture_remedies = picture_remedies});
}

}  // namespace bestreel
