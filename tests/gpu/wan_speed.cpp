// The sampler's parts on one device, timed: load, text encoder, denoiser, video decoder.
//   {"folder", "device", "dtype", "vae_dtype", "threads", "width", "height", "frames", "steps",
//    "rounds", "what": ["encode", "denoise", "decode"], "out"} to one value a line; with "out" the
//    decoded frames are written there
#include <ATen/Parallel.h>
#include <ATen/ops/isfinite.h>

#include <fstream>

#include "sampler/wan/pipeline.h"
#include "tests/gpu/speed.h"

namespace {

using namespace bestreel;
using namespace bestreel::wan;
using namespace bestreel::speed;

constexpr const char* kPrompt = "a small red circle moves left over a gray background";

// The first step loads kernels. What the host does until the last launch is told beside the whole:
// where the queue of launches is full, the two are the same.
void denoise(const Pipeline& pipeline, const ConditioningPtr& conditioning,
             const Settings& settings, int rounds) {
  const at::Device device = pipeline.device();
  const Trajectory fresh =
      pipeline.start(conditioning, settings, pipeline.noise(7, settings.size), "seed 7");
  double enqueued = 0, whole = 0;
  std::int64_t forwards = 0;
  at::Tensor x;
  for (int i = 0; i <= rounds; ++i) {
    Trajectory trajectory = fresh;
    finish(device);
    const Clock clock;
    trajectory.advance();
    const double host = clock.seconds();
    finish(device);
    x = trajectory.x();
    if (i == 0) {
      tell("denoiser, first step", clock.seconds(), "s");
      if (rounds > 0) continue;
    }
    enqueued += host, whole += clock.seconds(), forwards += trajectory.forwards();
  }
  tell("denoiser forward", 1e3 * whole / static_cast<double>(forwards), "ms");
  tell("denoiser forward, the host's part", 1e3 * enqueued / static_cast<double>(forwards), "ms");
  tell_check("the latents are finite", at::isfinite(x).all().item<bool>(), "after a step");
}

void decode(const Pipeline& pipeline, const VideoSize& size, int rounds, const std::string& out) {
  const at::Tensor latents = pipeline.noise(7, size);
  at::Tensor frames;
  timed("video decoder", pipeline.device(), rounds, [&] { frames = pipeline.decode(latents); });
  if (out.empty()) return;
  const at::Tensor host = frames.cpu().contiguous();
  std::ofstream(out, std::ios::binary)
      .write(static_cast<const char*>(host.const_data_ptr()),
             static_cast<std::streamsize>(host.nbytes()));
}

void sampler(const json& request, at::Device device) {
  if (request.contains("threads")) at::set_num_threads(request["threads"]);
  const Clock clock;
  LoadOptions options;
  options.folder = request["folder"];
  options.device = device;
  options.dtype = request["dtype"];
  options.vae_dtype = request["vae_dtype"];
  const auto pipeline = Pipeline::load(options);
  finish(device);
  tell("load, without the text encoder", clock.seconds(), "s");
  Settings settings;
  settings.size = {request["width"], request["height"], request["frames"]};
  settings.steps = request["steps"];
  pipeline->check_size(settings.size);
  const int rounds = request["rounds"];
  const auto asked = request["what"].get<std::vector<std::string>>();
  const auto wanted = [&](const char* what) {
    return std::find(asked.begin(), asked.end(), what) != asked.end();
  };
  ConditioningPtr conditioning;
  if (wanted("encode") || wanted("denoise")) {
    // Twice, each with its loading: as for two waves of candidates.
    for (const char* wave : {"first", "second"}) {
      const Clock encoding;
      conditioning = pipeline->encode(kPrompt, "");
      finish(device);
      tell(fmt::format("text encoder, loaded for the {} wave, two prompts", wave),
           encoding.seconds(), "s");
      pipeline->free_text_encoder();
      if (!wanted("encode")) break;
    }
  }
  if (wanted("denoise")) denoise(*pipeline, conditioning, settings, rounds);
  if (wanted("decode")) decode(*pipeline, settings.size, rounds, request.value("out", ""));
}

}  // namespace

int main(int argc, char** argv) { return speed::run(argc, argv, sampler); }
