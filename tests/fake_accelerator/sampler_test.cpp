// The generator's engine, whole, on a device that is not the CPU: the fake accelerator, or the one
// that BESTREEL_TEST_DEVICE names.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/nn/checkpoint.h"
#include "sampler/wan/engine.h"
#include "sampler/wan/pipeline.h"
#include "sampler/wan/preview.h"
#include "sampler/wan/tiny_decoder.h"
#include "tests/fake_accelerator/tested_device.h"

namespace bestreel::wan {
namespace {

const std::string kFolder = test_sources() + "/examples/tinyworld/checkpoints/generator";
const std::string kPrompt = "a small red circle moves left over a gray background";
constexpr std::int64_t kSteps = 4;

using PipelinePtr = std::shared_ptr<Pipeline>;

PipelinePtr load(at::Device device) {
  return Pipeline::load({.folder = kFolder, .device = device});
}

// The work is small, and a team of threads that waits for a busy core is slow.
[[maybe_unused]] const bool kOneThread = [] {
  at::set_num_threads(1);
  return true;
}();

/// Loaded once, for the tests that only use them.
const PipelinePtr& on_cpu() {
  static const PipelinePtr it = load(at::kCPU);
  return it;
}
const PipelinePtr& on_device() {
  static const PipelinePtr it = load(tested());
  return it;
}

Settings settings(Stochastic stochastic = Stochastic::kNone) {
  Settings s;
  s.size = {64, 64, 5};
  s.steps = kSteps;
  s.guidance = 3;
  s.noise.stochastic = stochastic;
  return s;
}

Trajectory start(const PipelinePtr& pipeline, const Settings& s) {
  const ConditioningPtr conditioning = pipeline->encode(kPrompt, "");
  return pipeline->start(conditioning, s, pipeline->noise(7, s.size), "seed 7");
}

// A real device sums in another order, and its convolutions may round their inputs to TF32, which
// has 10 bits of mantissa: a frame may be off by one level.
double at_least(double tolerance) {
  return tested().is_cpu() || fake::registered() ? tolerance : std::max(tolerance, 5e-3);
}

void expect_near(const at::Tensor& on_device, const at::Tensor& on_host, double tolerance) {
  EXPECT_EQ(on_device.device(), tested());
  const at::Tensor back = on_device.cpu().to(at::kFloat), host = on_host.to(at::kFloat);
  ASSERT_EQ(back.sizes(), host.sizes());
  const double scale = std::max(1.0, host.abs().max().item<double>());
  EXPECT_LE((back - host).abs().max().item<double>(), at_least(tolerance) * scale);
}

// Embeddings, every step's latents and estimates, and the frames are the CPU's. Not to the bit: the
// CPU sums the padding of the text, whose rows are alike, as one row.
TEST(SamplerOnDevice, GeneratesAsOnTheCpu) {
  const PipelinePtr &here = on_cpu(), &there = on_device();
  expect_near(there->encode(kPrompt, "")->positive, here->encode(kPrompt, "")->positive, 0);
  for (const Stochastic stochastic : {Stochastic::kNone, Stochastic::kFlowSde}) {
    Trajectory a = start(there, settings(stochastic)), b = start(here, settings(stochastic));
    while (!b.done()) {
      a.advance();
      b.advance();
      expect_near(a.x(), b.x(), 1e-5);
      expect_near(a.x0_hat(), b.x0_hat(), 1e-5);
      expect_near(a.last().log_prob, b.last().log_prob, 1e-5);
    }
    if (stochastic != Stochastic::kNone) continue;
    // The same latents: the decoder is the CPU's to the bit.
    const at::Tensor same = b.x().to(tested());
    expect_near(there->decode_values(same), here->decode_values(b.x()), 0);
    expect_near(there->decode(same), here->decode(b.x()), 0);
    expect_near(there->encode_video(there->decode(same)), here->encode_video(here->decode(b.x())),
                0);
    const std::string tiny = kFolder + "/taew.safetensors";
    const std::int64_t channels = here->config().vae.z_dim;
    expect_near(TinyDecoder::open(tiny, channels, tested()).frames(same),
                TinyDecoder::open(tiny, channels).frames(b.x()), 0);
    expect_near(LinearPreview::fit(*there, same).frames(same),
                LinearPreview::fit(*here, b.x()).frames(b.x()), 0);
    a.renoise(1, there->noise(8, settings().size));
    EXPECT_NO_THROW(a.advance());
  }
}

// The host neither reads nor waits inside a denoising step, whatever the solver, the first
// included.
TEST(SamplerOnDevice, NoHostReadInADenoisingStep) {
  NEEDS_COUNTERS();
  const PipelinePtr& pipeline = on_device();
  for (const Stochastic stochastic :
       {Stochastic::kNone, Stochastic::kFlowSde, Stochastic::kCps, Stochastic::kDdim}) {
    Trajectory trajectory = start(pipeline, settings(stochastic));
    fake::reset_counters();
    while (!trajectory.done()) trajectory.advance();
    const fake::Counters c = fake::counters();
    EXPECT_GT(c.operators, 0);
    EXPECT_EQ(c.host_reads(), 0);
    EXPECT_EQ(c.waits(), 0);
  }
}

// Decoding reads two truths, none between its chunks: whether the latents and the frames are
// numbers.
TEST(SamplerOnDevice, TwoHostReadsADecoding) {
  NEEDS_COUNTERS();
  const PipelinePtr& pipeline = on_device();
  const at::Tensor latents = pipeline->noise(1, settings().size);
  fake::reset_counters();
  pipeline->decode(latents);
  EXPECT_EQ(fake::counters().host_reads(), 2);
  EXPECT_EQ(fake::counters().waits(), 2);
}

// Loading copies each weight once, in the bytes of the file.
TEST(SamplerOnDevice, WeightsAreCopiedOnce) {
  NEEDS_COUNTERS();
  const auto bytes = static_cast<std::int64_t>(
      Checkpoint::open(kFolder + "/transformer", "diffusion_pytorch_model").bytes() +
      Checkpoint::open(kFolder + "/vae", "diffusion_pytorch_model").bytes());
  fake::reset_counters();
  const PipelinePtr pipeline = load(tested());
  // The autoencoder's other half is not loaded until somebody encodes.
  EXPECT_LT(fake::counters().h2d_bytes, bytes + bytes / 100);
  EXPECT_GT(fake::counters().h2d_bytes, bytes / 2);
}

// A prompt that was encoded elsewhere is refused by the first step, not moved.
TEST(SamplerOnDevice, MixedPlacementRaises) {
  if (tested().is_cpu()) GTEST_SKIP() << "on the CPU nothing can be in the wrong place";
  const PipelinePtr &here = on_cpu(), &there = on_device();
  const Settings s = settings();
  Trajectory mixed = there->start(here->encode(kPrompt, ""), s, there->noise(7, s.size), "seed 7");
  try {
    mixed.advance();
    FAIL() << "a mixed placement went through";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "engine_failed");
    EXPECT_NE(std::string(error.what()).find("same device"), std::string::npos) << error.what();
  }
}

/// Takes every candidate to its end, with one preview on the way.
class Watcher final : public SamplerCallback {
 public:
  int next_stop(int step) const override { return step < 2 ? 2 : kSteps; }
  bool request_steps(CandidateId, int, int) override { return true; }
  void on_steps_done(CandidateId, int, const Cost&) override {}
  bool wants_preview(CandidateId, int) const override { return true; }
  void preview(CandidateId, int, DecodedFrames shown, const Cost&) override {
    show(std::move(shown));
  }
  std::vector<Assignment> resample_at(int) override { return {{1, 1, 0}, {2, 2, 0}}; }
  void finished(CandidateId, VideoPtr video, const Cost&) override { show(std::move(video)); }
  void failed(CandidateId, int, Failure failure, const Cost&) override {
    ADD_FAILURE() << failure.sentence;
  }

  std::vector<VideoPtr> videos;

 private:
  void show(DecodedFrames shown) {
    if (const auto* failure = std::get_if<Failure>(&shown))
      ADD_FAILURE() << failure->sentence;
    else
      videos.push_back(std::get<VideoPtr>(std::move(shown)));
  }
};

// A whole wave: what is shown stays on the device until somebody of the CPU asks, and nothing but
// each decoding's two truths are read before.
TEST(SamplerOnDevice, WaveStaysOnTheDevice) {
  const PipelinePtr& pipeline = on_device();
  const std::unique_ptr<Engine> engine =
      make_engine(pipeline, {.settings = settings(), .fps = {4, 1}});
  const Condition condition{kPrompt, ""};
  const std::vector<Start> starts{{1, condition, Noise::seed(7)}, {2, condition, Noise::seed(8)}};
  Watcher watcher;
  fake::reset_counters();
  engine->run(starts, watcher);
  ASSERT_EQ(watcher.videos.size(), 4u);
  if (fake::registered()) {
    EXPECT_EQ(fake::counters().host_reads(), 8);
    EXPECT_EQ(fake::counters().events_recorded, 4);
  }

  const std::vector<std::int64_t> even{0, 2, 4}, uneven{4, 0, 1};
  const Video& last = *watcher.videos.back();
  EXPECT_EQ(last.info().frame_count, 5);
  fake::reset_counters();
  const DeviceKind kind = tested().is_cpu()    ? DeviceKind::kCpu
                          : tested().is_cuda() ? DeviceKind::kCuda
                                               : DeviceKind::kPrivate;
  EXPECT_EQ(last.read(even).device.kind, kind);
  EXPECT_EQ(last.read(uneven).device.kind, kind);
  EXPECT_EQ(fake::counters().waits(), 0);
  if (fake::registered()) {
    EXPECT_EQ(fake::counters().events_waited, 2);
  }
  const TensorView host = last.read_host(uneven);
  EXPECT_EQ(host.device.kind, DeviceKind::kCpu);
  if (fake::registered()) {
    EXPECT_EQ(fake::counters().d2h, 1);
  }
  EXPECT_EQ(host.shape, (std::vector<std::int64_t>{3, 3, 64, 64}));
  EXPECT_THROW(last.read(std::vector<std::int64_t>{5}), UsageError);
}

}  // namespace
}  // namespace bestreel::wan
