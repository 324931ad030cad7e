// What the native Wan engine computes, written down for comparison with diffusers.
//   generate: a folder, a prompt and a seed to embeddings, velocities, latents per step, frames
//   schedule: a scheduler_config.json to noise levels; clean: prompts; tokens: prompts to ids
//   encode: frames to latents; decode: latents to frames and a preview; tiny: the same by a TAEHV
#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

#include <chrono>
#include <ctime>

#include "core/nn/device.h"
#include "dump.h"
#include "sampler/schedulers/noise.h"
#include "sampler/wan/pipeline.h"
#include "sampler/wan/preview.h"
#include "sampler/wan/prompt.h"
#include "sampler/wan/tiny_decoder.h"
#include "sampler/wan/tokenizer.h"

namespace {

using namespace bestreel;
using namespace bestreel::wan;
using dump::json, dump::read_array, dump::write_array;

std::shared_ptr<Pipeline> load(const json& request) {
  LoadOptions options;
  options.folder = request["folder"];
  options.dtype = request.value("dtype", options.dtype);
  options.device = nn::parse_device(request.value("device", "cpu"));
  options.vae_dtype = request.value("vae_dtype", options.vae_dtype);
  for (const json& file : request.value("lora", json::array()))
    options.lora.push_back({file["path"], file.value("scale", 1.0)});
  return Pipeline::load(options);
}

VideoSize size_of(const json& request) {
  return {request["width"], request["height"], request["frames"]};
}

// Two branches from one point: the same key, another key, and back to an earlier noise level.
void fork(const json& request, const Trajectory& fresh, const at::Tensor& end, json& result) {
  Trajectory base = fresh;
  for (std::int64_t i = 0; i < request["fork_at"]; ++i) base.advance();
  const auto finish = [](Trajectory t) {
    while (!t.done()) t.advance();
    return t.x();
  };
  result["same_key_equal"] = at::equal(finish(base.fork("seed")), end);
  result["other_key_equal"] = at::equal(finish(base.fork("other")), end);
  Trajectory back = base.fork("seed");
  back.renoise(1, keyed_noise("back", end.sizes()));
  result["back_step"] = back.step();
  result["back_std"] = back.x().std().item<double>();
  result["back_finite"] = at::isfinite(finish(back)).all().item<bool>();
}

json generate(const json& request, const std::string& out) {
  if (request.contains("threads")) at::set_num_threads(request["threads"]);
  const auto pipeline = load(request);
  Settings settings;
  settings.size = size_of(request);
  settings.steps = request["steps"];
  settings.guidance = request.value("guidance", 1.0);
  if (request.contains("guidance_2")) settings.guidance_2 = request["guidance_2"];
  settings.noise.stochastic = parse_stochastic(request.value("stochastic", "none"));
  settings.noise.eta = request.value("eta", settings.noise.eta);

  json result;
  // Processor seconds of all threads, and seconds on the wall, of each repetition.
  const auto timed = [&](const std::string& what, bool keep, const auto& work) {
    const auto wall = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    work();
    if (!keep) return;
    result[what + "_cpu"].push_back(static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC);
    result[what + "_wall"].push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count());
  };
  const int repeat = request.value("repeat", 1);
  ConditioningPtr conditioning;
  // The first pass loads the encoder.
  for (int i = 0; i <= repeat; ++i) {
    timed("encode", i > 0, [&] {
      conditioning =
          pipeline->encode(request["prompt"], request.value("negative", ""), settings.guidance > 1);
    });
  }
  pipeline->free_text_encoder();
  result["warnings"] = conditioning->warnings;
  write_array(out + "/positive.f32", conditioning->positive.to(at::kFloat));
  result["positive"] = conditioning->positive.sizes().vec();
  if (conditioning->negative.defined()) {
    write_array(out + "/negative.f32", conditioning->negative.to(at::kFloat));
    result["negative"] = conditioning->negative.sizes().vec();
  }

  const at::Tensor noise = pipeline->noise(request["seed"], settings.size);
  write_array(out + "/noise.f32", noise);
  std::vector<at::Tensor> latents, velocities, estimates;
  Trajectory t = pipeline->start(conditioning, settings, noise, "seed");
  const Trajectory fresh = t;
  for (int i = 0; i < repeat; ++i) {
    latents.clear(), velocities.clear(), estimates.clear();
    t = fresh;
    timed("denoise", true, [&] {
      while (!t.done()) {
        t.advance();
        latents.push_back(t.x());
        velocities.push_back(t.v().to(at::kFloat));
        estimates.push_back(t.x0_hat());
      }
    });
  }
  if (request.contains("fork_at")) fork(request, fresh, t.x(), result);
  write_array(out + "/latents.f32", at::stack(latents));
  write_array(out + "/velocities.f32", at::stack(velocities));
  write_array(out + "/estimates.f32", at::stack(estimates));
  result["latents"] = t.x().sizes().vec();
  result["forwards"] = t.forwards();

  at::Tensor frames;
  for (int i = 0; i < repeat; ++i) {
    timed("decode", true, [&] { frames = pipeline->decode(t.x()); });
  }
  write_array(out + "/frames.u8", frames);
  if (request.value("values", true))
    write_array(out + "/values.f32", pipeline->decode_values(t.x()));
  result["frames"] = frames.sizes().vec();
  return result;
}

json decode(const json& request, const std::string& out) {
  const auto pipeline = load(request);
  const at::Tensor latents =
      read_array(request["latents"], pipeline->latent_shape(size_of(request)), at::kFloat);
  write_array(out + "/frames.u8", pipeline->decode(latents));
  const at::Tensor preview = LinearPreview::fit(*pipeline, latents).frames(latents);
  write_array(out + "/preview.u8", preview);
  return {{"preview", preview.sizes().vec()}};
}

json tiny(const json& request, const std::string& out) {
  const auto shape = request["shape"].get<std::vector<std::int64_t>>();
  const TinyDecoder decoder = TinyDecoder::open(request["file"], request["channels"]);
  const at::Tensor frames = decoder.frames(read_array(request["latents"], shape, at::kFloat));
  write_array(out + "/frames.u8", frames);
  return {{"frames", frames.sizes().vec()}};
}

json schedule(const json& request, const std::string&) {
  const FlowSchedule s =
      make_flow_schedule(read_scheduler_config(request["file"]), request["steps"]);
  return {{"sigmas", s.sigmas}, {"timesteps", s.timesteps}};
}

json clean(const json& request, const std::string&) {
  json result;
  for (const json& prompt : request["prompts"]) {
    const CleanPrompt cleaned = clean_prompt(prompt.get<std::string>());
    result["texts"].push_back(cleaned.text);
    result["warnings"].push_back(cleaned.warning);
  }
  return result;
}

json tokens(const json& request, const std::string&) {
  const PromptTokenizer tokenizer = PromptTokenizer::open(request["folder"]);
  json result;
  for (const json& prompt : request["prompts"])
    result["ids"].push_back(tokenizer.encode(prompt.get<std::string>(), request["limit"]));
  return result;
}

json encode(const json& request, const std::string& out) {
  const VideoSize size = size_of(request);
  const at::Tensor latents = load(request)->encode_video(
      read_array(request["video"], {size.frames, 3, size.height, size.width}, at::kByte));
  write_array(out + "/latents.f32", latents);
  return {{"latents", latents.sizes().vec()}};
}

}  // namespace

int main(int argc, char** argv) {
  return dump::run(argc, argv,
                   {{"generate", generate},
                    {"decode", decode},
                    {"tiny", tiny},
                    {"schedule", schedule},
                    {"clean", clean},
                    {"tokens", tokens},
                    {"encode", encode}});
}
