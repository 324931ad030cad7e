#include "sampler/wan/pipeline.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <new>
#include <system_error>

#include "core/base/fail.h"
#include "core/base/file.h"
#include "core/nn/device.h"
#include "sampler/schedulers/noise.h"
#include "sampler/wan/infer.h"
#include "sampler/wan/prompt.h"
#include "sampler/wan/text_encoder.h"
#include "sampler/wan/tokenizer.h"
#include "sampler/wan/transformer.h"
#include "sampler/wan/vae.h"

namespace bestreel::wan {
namespace {

constexpr std::int64_t kTextPositions = 512;  // what the model was trained to attend to

at::ScalarType parse_dtype(const std::string& word) {
  if (word == "fp32") return at::kFloat;
  if (word == "bf16") return at::kBFloat16;
  fail_usage("pipeline", "the dtype must be fp32 or bf16 but got {}", word);
}

// Errors of the tensor library as sentences of ours.
template <typename F>
auto guarded(const char* op, F&& run) {
  const auto no_memory = [&]() {
    fail("out_of_memory", op,
         "there is not enough memory for a video of this size: ask for fewer frames or a smaller "
         "picture, or use bf16");
  };
  const c10::InferenceMode no_grad;
  try {
    return run();
  } catch (const c10::OutOfMemoryError&) {
    no_memory();
  } catch (const std::bad_alloc&) {
    no_memory();
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again) throw;
    fail("thread_failed", op,
         "the system gives no thread ({}): end other programs, or ask for fewer threads",
         error.what());
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    if (what.find("allocate memory") != std::string::npos) no_memory();
    fail("engine_failed", op, "the tensor library failed ({}): please report this",
         what.substr(0, what.find('\n')));
  }
  throw std::logic_error("unreachable");
}

std::shared_ptr<const Lora> open_lora(const LoadOptions& options, const PipelineConfig& config,
                                      bool second) {
  if (options.lora.empty()) return nullptr;
  const std::string& file = second ? config.files.transformer_2 : config.files.transformer;
  const std::vector<TensorEntry> entries = Checkpoint::open_file(file).entries();
  std::map<std::string, const TensorEntry*> theirs;
  for (const TensorEntry& entry : entries) theirs[entry.name] = &entry;
  Lora::Names names;
  for (const auto& [ours, name] : stored_names(Part::kTransformer, file, entries))
    names[ours] = theirs[name]->shape;
  auto lora = Lora::open(options.lora, names, second, config.transformer_2 ? 2 : 1);
  if (options.on_warning)
    for (const std::string& warning : lora->warnings()) options.on_warning(warning);
  return lora->empty() ? nullptr : lora;
}

std::string fingerprint(const PipelineConfig& config) {
  const PartFiles& files = config.files;
  std::string parts;
  for (const std::string& file :
       {files.transformer, files.transformer_2, files.vae, files.text_encoder})
    if (!file.empty()) parts += Checkpoint::open_file(file).fingerprint();
  std::vector<std::string> tokenizer;
  std::error_code missing;  // the tokenizer itself says so
  if (std::filesystem::is_regular_file(files.tokenizer, missing)) {
    tokenizer.push_back(files.tokenizer);
  } else if (!files.tokenizer.empty()) {
    for (const auto& file : std::filesystem::directory_iterator(files.tokenizer, missing))
      if (file.is_regular_file()) tokenizer.push_back(file.path().string());
  }
  std::sort(tokenizer.begin(), tokenizer.end());
  for (const std::string& file : tokenizer) parts += sha256_file(file);
  return sha256(parts);
}

PromptTokenizer open_tokenizer(const PartFiles& files) {
  if (!files.tokenizer.empty()) return PromptTokenizer::open(files.tokenizer);
  const at::Tensor bytes =
      Checkpoint::open_file(files.text_encoder).bytes_of(sentencepiece_tensor(files.text_encoder));
  return PromptTokenizer::from_sentencepiece(
      {static_cast<const char*>(bytes.const_data_ptr()), static_cast<std::size_t>(bytes.numel())},
      "the spiece_model of " + files.text_encoder);
}

}  // namespace

struct Conditioning::Contexts {
  TextContext positive[2], negative[2];  // per denoiser
};

struct Pipeline::Impl {
  LoadOptions options;
  PipelineConfig config;
  std::string digest, weights;
  at::ScalarType dtype = at::kFloat;
  std::optional<Transformer> transformers[2];  // high noise, low noise
  std::optional<VaeDecoder> decoder;
  std::optional<PromptTokenizer> tokenizer;
  std::optional<TextEncoder> text;
  mutable std::optional<VaeEncoder> encoder;  // few need it: loaded on demand
  mutable std::once_flag encoder_once;

  Weights vae_weights() const {
    return {config.files.vae, Part::kVae, parse_dtype(options.vae_dtype), options.device};
  }
};

Pipeline::Pipeline(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pipeline::~Pipeline() = default;

std::shared_ptr<Pipeline> Pipeline::load(const LoadOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->dtype = parse_dtype(options.dtype);
  impl->config = read_pipeline_config(options.folder, options.overrides);
  const PipelineConfig& config = impl->config;
  guarded("pipeline", [&] {
    const auto load_transformer = [&](bool second) {
      impl->transformers[second ? 1 : 0].emplace(
          Weights(second ? config.files.transformer_2 : config.files.transformer,
                  Part::kTransformer, impl->dtype, options.device,
                  open_lora(options, config, second)),
          second ? *config.transformer_2 : config.transformer);
    };
    load_transformer(false);
    if (config.transformer_2) load_transformer(true);
    impl->decoder.emplace(impl->vae_weights(), config.vae);
    impl->tokenizer.emplace(open_tokenizer(config.files));
  });
  std::string identity = config.digest + options.dtype + options.vae_dtype;
  for (const LoraFile& file : options.lora)
    identity +=
        sha256_file(file.path) + fmt::format("{} {}", file.scale, static_cast<int>(file.target));
  impl->digest = sha256(identity);
  impl->weights = fingerprint(config);
  return std::shared_ptr<Pipeline>(new Pipeline(std::move(impl)));
}

const PipelineConfig& Pipeline::config() const { return impl_->config; }
at::Device Pipeline::device() const { return impl_->options.device; }
const std::string& Pipeline::digest() const { return impl_->digest; }
const std::string& Pipeline::weights() const { return impl_->weights; }

ConditioningPtr Pipeline::encode(const std::string& prompt, const std::string& negative,
                                 bool with_negative) {
  Impl& impl = *impl_;
  return guarded("text", [&]() -> ConditioningPtr {
    if (!impl.text)
      impl.text.emplace(Weights(impl.config.files.text_encoder, Part::kTextEncoder, impl.dtype,
                                impl.options.device),
                        impl.config.text);
    auto conditioning = std::make_shared<Conditioning>();
    const auto embed = [&](const std::string& text) {
      CleanPrompt clean = clean_prompt(text);
      if (!clean.warning.empty()) conditioning->warnings.push_back(std::move(clean.warning));
      const std::int64_t length = impl.tokenizer->length(clean.text);
      if (length > kTextPositions)
        conditioning->warnings.push_back(
            fmt::format("the prompt has {} tokens but the model reads {}: the rest is cut off",
                        length, kTextPositions));
      return impl.text->encode(impl.tokenizer->encode(clean.text, kTextPositions));
    };
    conditioning->positive = embed(prompt);
    if (with_negative) conditioning->negative = embed(negative);
    auto contexts = std::make_shared<Conditioning::Contexts>();
    for (int i = 0; i < 2; ++i) {
      if (!impl.transformers[i]) continue;
      contexts->positive[i] = impl.transformers[i]->context(conditioning->positive, kTextPositions);
      if (with_negative)
        contexts->negative[i] =
            impl.transformers[i]->context(conditioning->negative, kTextPositions);
    }
    conditioning->contexts = std::move(contexts);
    if (impl.options.on_warning)
      for (const std::string& warning : conditioning->warnings) impl.options.on_warning(warning);
    return conditioning;
  });
}

void Pipeline::free_text_encoder() { impl_->text.reset(); }

void Pipeline::check_size(const VideoSize& size) const { wan::check_size(impl_->config, size); }

void check_size(const PipelineConfig& config, const VideoSize& size) {
  const VaeConfig& vae = config.vae;
  const auto& patch = config.transformer.patch_size;
  const std::int64_t rows = vae.scale_spatial * patch[1], columns = vae.scale_spatial * patch[2];
  const auto nearest = [](std::int64_t value, std::int64_t unit) {
    return std::max(unit, (value + unit / 2) / unit * unit);
  };
  if (size.height < 1 || size.width < 1 || size.height % rows != 0 || size.width % columns != 0)
    fail_usage("generate",
               "the width must be a multiple of {} and the height of {} (this model's latent is {} "
               "times smaller, and is cut into patches of {} x {}) but got {} x {}: use {} x {}",
               columns, rows, vae.scale_spatial, patch[2], patch[1], size.width, size.height,
               nearest(size.width, columns), nearest(size.height, rows));
  if (size.frames < 1 || (size.frames - 1) % vae.scale_temporal != 0)
    fail_usage(
        "generate",
        "the number of frames must be {} k + 1 (after the first, this model makes {} frames "
        "at a time) but got {}: use {}",
        vae.scale_temporal, vae.scale_temporal, size.frames,
        // As the reference rounds.
        std::max<std::int64_t>(0, size.frames) / vae.scale_temporal * vae.scale_temporal + 1);
}

std::vector<std::int64_t> Pipeline::latent_shape(const VideoSize& size) const {
  check_size(size);
  const VaeConfig& vae = impl_->config.vae;
  return {1, vae.z_dim, (size.frames - 1) / vae.scale_temporal + 1, size.height / vae.scale_spatial,
          size.width / vae.scale_spatial};
}

at::Tensor Pipeline::noise(std::uint64_t seed, const VideoSize& size) const {
  return guarded("generate",
                 [&] { return seeded_noise(seed, latent_shape(size)).to(impl_->options.device); });
}

Trajectory Pipeline::start(ConditioningPtr conditioning, const Settings& settings, at::Tensor noise,
                           std::string key) const {
  const std::vector<std::int64_t> shape = latent_shape(settings.size);
  if (noise.sizes() != at::IntArrayRef(shape))
    fail_usage("generate", "the noise must have the shape [{}] for this size but has [{}]",
               fmt::join(shape, ", "), fmt::join(noise.sizes().vec(), ", "));
  if (settings.guidance_2 && !impl_->transformers[1])
    fail_usage("generate", "a second guidance needs a model with two denoisers but {} has one",
               impl_->config.files.transformer);
  if (settings.guidance > 1 && !conditioning->negative.defined())
    fail_usage("generate", "guidance {} needs the negative prompt: encode with it",
               settings.guidance);
  Stepper stepper(impl_->config.scheduler,
                  make_flow_schedule(impl_->config.scheduler, settings.steps), settings.noise);
  return {shared_from_this(),
          std::move(conditioning),
          settings,
          std::move(stepper),
          noise.to(impl_->options.device, at::kFloat),
          std::move(key)};
}

at::Tensor Pipeline::velocity(const Conditioning& conditioning, const Settings& settings,
                              const at::Tensor& x, double timestep, std::int64_t& forwards) const {
  const PipelineConfig& config = impl_->config;
  const bool low =
      config.boundary_ratio &&
      timestep < *config.boundary_ratio * static_cast<double>(config.scheduler.num_train_timesteps);
  const Transformer& model = *impl_->transformers[low ? 1 : 0];
  const Conditioning::Contexts& contexts = *conditioning.contexts;
  const at::Tensor v = model.velocity(x, timestep, contexts.positive[low ? 1 : 0]);
  ++forwards;
  if (!(settings.guidance > 1)) return v;
  // Two forwards, never a batch of two: a batch may round otherwise (P2).
  const at::Tensor without = model.velocity(x, timestep, contexts.negative[low ? 1 : 0]);
  ++forwards;
  const double guidance = low ? settings.guidance_2.value_or(settings.guidance) : settings.guidance;
  return without + (v - without) * guidance;
}

at::Tensor Pipeline::decode_values(const at::Tensor& latents) const {
  return guarded("decode", [&] {
    std::vector<at::Tensor> chunks;
    impl_->decoder->decode(latents, [&](const at::Tensor& frames) { chunks.push_back(frames); });
    return at::cat(chunks).to(at::kFloat);
  });
}

at::Tensor Pipeline::decode(const at::Tensor& latents) const {
  return guarded("decode", [&] {
    if (!at::isfinite(latents).all().item<bool>())
      fail("latents_not_finite", "decode",
           "the latents must be finite but hold NaN or infinity: this candidate is lost; if it "
           "happens often, use fp32, and check the checkpoint's weights");
    std::vector<at::Tensor> chunks;
    at::Tensor finite;  // asked once at the end, so that nothing waits between the chunks
    impl_->decoder->decode(latents, [&](const at::Tensor& frames) {
      const at::Tensor all = at::isfinite(frames).all();
      finite = finite.defined() ? finite.logical_and(all) : all;
      // export_to_video multiplies by 255 and cuts, it does not round.
      chunks.push_back(
          frames.to(at::kFloat).mul(0.5).add_(0.5).clamp_(0, 1).mul_(255).to(at::kByte));
    });
    if (!finite.item<bool>())
      fail("latents_not_finite", "decode",
           "the decoder made NaN or infinity of finite latents: this candidate is lost; use "
           "--vae-dtype fp32, and check the weights of the vae");
    return at::cat(chunks);
  });
}

at::Tensor Pipeline::encode_video(const at::Tensor& frames) const {
  return guarded("encode", [&] {
    check_size({frames.size(3), frames.size(2), frames.size(0)});
    std::call_once(impl_->encoder_once,
                   [&] { impl_->encoder.emplace(impl_->vae_weights(), impl_->config.vae); });
    return impl_->encoder->encode(frames.to(at::kFloat).div(127.5).sub_(1));
  });
}

Trajectory::Trajectory(std::shared_ptr<const Pipeline> pipeline, ConditioningPtr conditioning,
                       Settings settings, Stepper stepper, at::Tensor x, std::string key)
    : pipeline_(std::move(pipeline)),
      conditioning_(std::move(conditioning)),
      settings_(std::move(settings)),
      stepper_(std::move(stepper)),
      x_(std::move(x)),
      key_(std::move(key)) {}

void Trajectory::advance() {
  const double timestep = stepper_.timestep();
  guarded("generate", [&] {
    const at::Tensor v = pipeline_->velocity(*conditioning_, settings_, x_, timestep, forwards_);
    at::Tensor fresh;
    if (stepper_.needs_noise())
      fresh =
          nn::upload(keyed_noise(fmt::format("{}/step {}", key_, step()), x_.sizes()), x_.device());
    last_ = stepper_.step(x_, v, fresh);
    x_ = last_.x_next;
  });
}

Trajectory Trajectory::fork(std::string key) const {
  Trajectory copy = *this;
  copy.key_ = std::move(key);
  copy.forwards_ = 0;
  return copy;
}

Trajectory Trajectory::without_noise() const {
  Trajectory copy = *this;
  copy.stepper_.switch_noise_off();
  copy.forwards_ = 0;
  return copy;
}

void Trajectory::renoise(std::int64_t to_step, std::string key) {
  guarded("generate", [&] {
    const double from = sigma();
    Stepper earlier = stepper_;
    earlier.rewind(to_step);
    const at::Tensor fresh =
        nn::upload(keyed_noise(fmt::format("{}/renoise", key), x_.sizes()), x_.device());
    x_ = bestreel::renoise(x_, from, earlier.sigma(), fresh);
    stepper_ = std::move(earlier);
    key_ = std::move(key);
    forget_last();
  });
}

std::int64_t Trajectory::bytes() const {
  return static_cast<std::int64_t>(x_.nbytes()) + stepper_.bytes();
}

}  // namespace bestreel::wan
