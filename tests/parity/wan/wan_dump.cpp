// What the native Wan engine computes, written down for comparison with diffusers.
//   generate: a folder, a prompt and a seed to embeddings, velocities, latents per step, frames
//   schedule: a scheduler_config.json to noise levels; clean: prompts; tokens: prompts to ids
//   encode: frames to latents
#include <ATen/Parallel.h>
#include <ATen/ops/stack.h>

#include <chrono>

#include "dump.h"
#include "sampler/schedulers/noise.h"
#include "sampler/wan/pipeline.h"
#include "sampler/wan/prompt.h"
#include "sampler/wan/tokenizer.h"

namespace {

using namespace bestreel;
using namespace bestreel::wan;
using dump::json, dump::read_array, dump::write_array;

std::shared_ptr<Pipeline> load(const json& request) {
  LoadOptions options;
  options.folder = request["folder"];
  options.dtype = request.value("dtype", options.dtype);
  options.vae_dtype = request.value("vae_dtype", options.vae_dtype);
  for (const json& file : request.value("lora", json::array()))
    options.lora.push_back({file["path"], file.value("scale", 1.0)});
  return Pipeline::load(options);
}

VideoSize size_of(const json& request) {
  return {request["width"], request["height"], request["frames"]};
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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

  const auto clock = [] { return std::chrono::steady_clock::now(); };
  json result;
  auto begin = clock();
  const ConditioningPtr conditioning =
      pipeline->encode(request["prompt"], request.value("negative", ""), settings.guidance > 1);
  result["encode_seconds"] = seconds_since(begin);
  result["warnings"] = conditioning->warnings;
  write_array(out + "/positive.f32", conditioning->positive.to(at::kFloat));
  result["positive"] = conditioning->positive.sizes().vec();
  if (conditioning->negative.defined()) {
    write_array(out + "/negative.f32", conditioning->negative.to(at::kFloat));
    result["negative"] = conditioning->negative.sizes().vec();
  }

  const at::Tensor noise = pipeline->noise(request["seed"], settings.size);
  write_array(out + "/noise.f32", noise);
  Trajectory t = pipeline->start(conditioning, settings, noise, "seed");
  std::vector<at::Tensor> latents, velocities, estimates;
  begin = clock();
  while (!t.done()) {
    t.advance();
    latents.push_back(t.x());
    velocities.push_back(t.v().to(at::kFloat));
    estimates.push_back(t.x0_hat());
  }
  result["denoise_seconds"] = seconds_since(begin);
  write_array(out + "/latents.f32", at::stack(latents));
  write_array(out + "/velocities.f32", at::stack(velocities));
  write_array(out + "/estimates.f32", at::stack(estimates));
  result["latents"] = t.x().sizes().vec();
  result["forwards"] = t.forwards();

  begin = clock();
  const at::Tensor frames = pipeline->decode(t.x());
  result["decode_seconds"] = seconds_since(begin);
  write_array(out + "/frames.u8", frames);
  write_array(out + "/values.f32", pipeline->decode_values(t.x()));
  result["frames"] = frames.sizes().vec();
  return result;
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
  return dump::run(argc, argv, {{"generate", generate},
                                {"schedule", schedule},
                                {"clean", clean},
                                {"tokens", tokens},
                                {"encode", encode}});
}
