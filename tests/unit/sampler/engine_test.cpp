// The Wan engine as a Session sees it, with the shipped tiny generator.
#include "sampler/wan/engine.h"

#include <ATen/TensorOperators.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "sampler/schedulers/noise.h"

namespace bestreel::wan {
namespace {

/// The usual allocator, until it is told to refuse: then as if the memory were full.
class ScarceMemory final : public c10::Allocator {
 public:
  ScarceMemory() : usual_(c10::GetDefaultCPUAllocator()) { c10::SetCPUAllocator(this); }
  ~ScarceMemory() override { c10::SetCPUAllocator(usual_); }

  c10::DataPtr allocate(std::size_t bytes) override {
    // Small ones are told apart so that it is a tensor of the video's size that finds no room.
    if (refusals > 0 && bytes >= 16384) {
      --refusals;
      TORCH_CHECK(false, "DefaultCPUAllocator: can't allocate memory: you tried to allocate ",
                  bytes);
    }
    return usual_->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return usual_->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }

  int refusals = 0;

 private:
  c10::Allocator* const usual_;
};

/// Lets all come to their end and keeps what they showed.
class Recorder final : public SamplerCallback {
 public:
  explicit Recorder(int steps) : steps_(steps) {}

  int next_stop(int step) const override { return step < barrier ? barrier : steps_; }
  bool request_steps(CandidateId id, int from, int) override {
    if (on_grant) on_grant(id, from);
    return true;
  }
  void restored(CandidateId, const Cost& spent) override { redone += spent.forwards; }
  bool keep_state(CandidateId, int) const override { return true; }
  void on_steps_done(CandidateId id, int step, const Cost& spent) override {
    at_[id] = step;
    forwards[id] += spent.forwards;
  }
  std::optional<PreviewRequest> wants_preview(CandidateId, int) const override {
    return PreviewRequest{};
  }
  void preview(CandidateId id, int, DecodedFrames shown, const Cost&) override {
    ASSERT_TRUE(std::holds_alternative<VideoPtr>(shown));
    previews[id] = bytes(*std::get<VideoPtr>(shown));
  }
  std::vector<Assignment> resample_at(int) override {
    std::vector<Assignment> assignments;
    for (const auto& [id, step] : at_) assignments.push_back({.id = id, .parent = id});
    return assignments;
  }
  void finished(CandidateId id, FinishedVideo video, const Cost&) override {
    videos[id] = bytes(*std::get<VideoPtr>(video));
  }
  void failed(CandidateId id, int, Failure failure, const Cost&) override {
    at_.erase(id);
    failures[id] = failure;
  }

  int barrier = 0;  ///< 0: none
  std::function<void(CandidateId, int)> on_grant;
  std::map<CandidateId, std::string> videos, previews;
  std::map<CandidateId, Failure> failures;
  std::map<CandidateId, double> forwards;
  double redone = 0;

 private:
  static std::string bytes(const Video& video) {
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < video.info().frame_count; ++i) all.push_back(i);
    const TensorView frames = video.read(all);
    return {static_cast<const char*>(frames.data),
            static_cast<std::size_t>(frames.shape[0] * frames.strides[0])};
  }

  const int steps_;
  std::map<CandidateId, int> at_;
};

class EngineTest : public ::testing::Test {
 protected:
  static constexpr int kSteps = 3;

  static void SetUpTestSuite() {
    pipeline =
        Pipeline::load({.folder = BESTREEL_SOURCE_DIR "/examples/tinyworld/checkpoints/generator"});
    engine = make_engine(pipeline, options());
  }
  static void TearDownTestSuite() {
    engine.reset();
    pipeline.reset();
  }

  static EngineOptions options() {
    EngineOptions options;
    options.settings.size = {64, 64, 5};
    options.settings.steps = kSteps;
    options.settings.guidance = 2;
    return options;
  }

  static std::vector<Start> starts(const std::vector<CandidateId>& ids) {
    std::vector<Start> starts;
    for (const CandidateId id : ids) {
      starts.push_back({id, {"a red ball", ""}, Noise::seed(static_cast<std::uint64_t>(10 + id))});
    }
    return starts;
  }

  static Recorder made(const std::vector<CandidateId>& ids, int barrier = 0) {
    Recorder recorder(kSteps);
    recorder.barrier = barrier;
    engine->run(starts(ids), recorder);
    return recorder;
  }

  static inline std::shared_ptr<Pipeline> pipeline;
  static inline std::unique_ptr<Engine> engine;
};

// A candidate is the same alone, in company, in another order, and in lockstep (P2).
TEST_F(EngineTest, CompanyChangesNoPixel) {
  const Recorder alone = made({1}), three = made({0, 1, 2}), again = made({2, 1}, /*barrier=*/2);
  EXPECT_EQ(three.videos.at(1), alone.videos.at(1));
  EXPECT_EQ(again.videos.at(1), alone.videos.at(1));
  EXPECT_EQ(again.videos.at(2), three.videos.at(2));
  EXPECT_NE(three.videos.at(1), three.videos.at(2));
}

// Memory that runs out once is tried again with less in hand: the same video comes out, in the
// first step and after a barrier, in lockstep with others.
TEST_F(EngineTest, MemoryThatRunsOutOnceCostsNothing) {
  const Recorder undisturbed = made({0, 1, 2}, /*barrier=*/2);
  for (const int from : {0, 2}) {
    Recorder recorder(kSteps);
    recorder.barrier = 2;
    ScarceMemory memory;
    int once = 1;
    recorder.on_grant = [&](CandidateId id, int at) {
      if (id == 1 && at == from) memory.refusals = std::exchange(once, 0);
    };
    engine->run(starts({0, 1, 2}), recorder);
    EXPECT_EQ(once, 0);
    EXPECT_TRUE(recorder.failures.empty());
    EXPECT_EQ(recorder.videos, undisturbed.videos);
    EXPECT_EQ(recorder.previews, undisturbed.previews);
  }
}

// Memory that stays full is that candidate's failure, in a sentence; the others are made as ever.
TEST_F(EngineTest, MemoryThatStaysFullFailsOneCandidate) {
  const Recorder undisturbed = made({0, 1, 2});
  Recorder recorder(kSteps);
  ScarceMemory memory;
  recorder.on_grant = [&](CandidateId id, int) { memory.refusals = id == 1 ? 2 : 0; };
  engine->run(starts({0, 1, 2}), recorder);
  ASSERT_EQ(recorder.failures.size(), 1u);
  EXPECT_EQ(recorder.failures.at(1).code, "out_of_memory");
  EXPECT_NE(recorder.failures.at(1).sentence.find("not enough memory"), std::string::npos);
  EXPECT_EQ(recorder.videos.size(), 2u);
  EXPECT_EQ(recorder.videos.at(0), undisturbed.videos.at(0));
  EXPECT_EQ(recorder.videos.at(2), undisturbed.videos.at(2));
}

// A prompt is encoded once, however many waves ask for it: without the text encoder's weights the
// next wave of the same prompt is made, and one of another prompt fails.
TEST_F(EngineTest, APromptIsEncodedOnceForAllItsWaves) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(::testing::TempDir()) / "bestreel-engine-test-generator";
  fs::remove_all(folder);
  fs::copy(BESTREEL_SOURCE_DIR "/examples/tinyworld/checkpoints/generator", folder,
           fs::copy_options::recursive);
  const std::unique_ptr<Engine> own =
      make_engine(Pipeline::load({.folder = folder.string()}), options());
  const auto wave = [&](const std::string& prompt) {
    Recorder recorder(kSteps);
    own->run(std::vector<Start>{{0, {prompt, ""}, Noise::seed(10)}}, recorder);
    return recorder;
  };
  const Recorder first = wave("a red ball");
  ASSERT_EQ(wave("a blue ball").videos.size(), 1u);
  ASSERT_EQ(wave("a red ball").videos, first.videos);
  fs::remove(folder / "text_encoder/model.safetensors");
  EXPECT_EQ(wave("a red ball").videos, first.videos);
  const Recorder lost = wave("a blue ball");
  ASSERT_EQ(lost.failures.size(), 1u);
  EXPECT_NE(lost.failures.at(0).sentence.find("text_encoder"), std::string::npos)
      << lost.failures.at(0).sentence;
  fs::remove_all(folder);
}

// Where memory runs out, kept states are given up before a candidate is: they are made again.
TEST_F(EngineTest, KeptStatesAreGivenUpForMemory) {
  const std::vector<Start> middle{{1, {"a red ball", ""}, State::at(Noise::seed(10), 2)}};
  for (const bool scarce : {false, true}) {
    const std::unique_ptr<Engine> own = make_engine(pipeline, options());
    Recorder first(kSteps), second(kSteps);
    first.barrier = 2;
    ScarceMemory memory;
    first.on_grant = [&](CandidateId, int at) { memory.refusals = scarce && at == 2 ? 1 : 0; };
    own->run(starts({0}), first);
    EXPECT_EQ(memory.refusals, 0);
    EXPECT_TRUE(first.failures.empty());
    own->run(middle, second);
    EXPECT_EQ(second.redone, scarce ? 4 : 0) << "two steps of two forwards";
    EXPECT_EQ(second.videos.at(1), first.videos.at(0));
  }
}

// Renoise is the forward process of flow matching between the two noise levels, and what follows
// has no history.
TEST_F(EngineTest, RenoiseForgetsTheSolversHistory) {
  const c10::InferenceMode no_grad;
  const Settings settings = options().settings;
  const ConditioningPtr text = pipeline->encode("a red ball", "");
  Trajectory t = pipeline->start(text, settings, pipeline->noise(10, settings.size), "seed(10)");
  t.advance();
  t.advance();
  const at::Tensor x = t.x();
  const double from = t.sigma();
  t.renoise(1, "renoise(at(seed(10),2),1,5)");
  const at::Tensor eps = keyed_noise("renoise(at(seed(10),2),1,5)/renoise", x.sizes());
  ASSERT_LT(from, t.sigma());
  const double a = (1 - t.sigma()) / (1 - from);
  EXPECT_TRUE(t.x().allclose(x * a + eps * std::sqrt(t.sigma() * t.sigma() - a * a * from * from),
                             1e-5, 1e-6));
  // A step of order 1 without a corrector: the exponential integrator's first order.
  const at::Tensor back = t.x();
  const double s = t.sigma();
  t.advance();
  const double next = t.sigma();
  const double h = std::log((1 - next) / next) - std::log((1 - s) / s);
  const at::Tensor first = back * (next / s) - t.x0_hat() * ((1 - next) * std::expm1(-h));
  EXPECT_TRUE(t.x().allclose(first, 1e-4, 1e-5));
}

}  // namespace
}  // namespace bestreel::wan
