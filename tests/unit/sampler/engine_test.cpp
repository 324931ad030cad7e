// The Wan engine as a Session sees it, with the shipped tiny generator.
#include "sampler/wan/engine.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

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
    const auto pipeline =
        Pipeline::load({.folder = BESTREEL_SOURCE_DIR "/examples/tinyworld/checkpoints/generator"});
    EngineOptions options;
    options.settings.size = {64, 64, 5};
    options.settings.steps = kSteps;
    options.settings.guidance = 2;
    engine = make_engine(pipeline, options);
  }
  static void TearDownTestSuite() { engine.reset(); }

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

}  // namespace
}  // namespace bestreel::wan
