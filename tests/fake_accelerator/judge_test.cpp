// The judge's engine, whole, on a device that is not the CPU: the fake accelerator, or the one that
// BESTREEL_TEST_DEVICE names.
#include <ATen/ops/bitwise_not.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/nn/checkpoint.h"
#include "reward/videoscore2/model.h"
#include "reward/videoscore2/videoscore2_judge.h"
#include "sampler/device_video.h"
#include "tests/fake_accelerator/tested_device.h"

namespace bestreel {
namespace {

const std::string kFolder = test_sources() + "/examples/tinyworld/checkpoints/judge";

JudgePtr judge_on(const std::string& device, std::int64_t rationale, double temperature = 0,
                  int slots = 3) {
  VideoScore2Options options;
  options.folder = kFolder;
  options.device = device;
  options.rationale = rationale;
  options.threads = 1;
  options.temperature = temperature;
  options.slots = slots;
  return make_videoscore2_judge(options);
}

/// Colours that change slowly over 17 frames of 64 x 64.
const at::Tensor& frames() {
  static const at::Tensor made = [] {
    at::Tensor x = at::empty({17, 3, 64, 64}, at::kByte);
    auto* p = x.mutable_data_ptr<std::uint8_t>();
    for (std::int64_t i = 0; i < x.numel(); ++i)
      p[i] = static_cast<std::uint8_t>(128 + 100 * std::sin(static_cast<double>(i % 4096) / 300 +
                                                            static_cast<double>(i / 12288) / 5));
    return x;
  }();
  return made;
}

std::vector<Judgement> judged(Judge& judge, const std::vector<VideoPtr>& videos) {
  std::vector<Request> requests;
  for (const VideoPtr& video : videos)
    requests.push_back({video, {"a small red circle moves left over a gray background", ""}});
  std::vector<Judgement> judgements;
  for (const Result& result : judge.judge(requests, {})) {
    if (const auto* failure = std::get_if<Failure>(&result))
      throw std::runtime_error(failure->sentence);
    judgements.push_back(std::get<Judgement>(result));
  }
  return judgements;
}

Judgement judged(Judge& judge, const VideoPtr& video) {
  return judged(judge, std::vector{video}).at(0);
}

VideoPtr host_video() { return make_device_video(frames(), {4, 1}); }
VideoPtr device_video() { return make_device_video(frames().to(tested()), {4, 1}); }

/// Three that differ in length and content.
std::vector<VideoPtr> three_device_videos() {
  const at::Tensor there = frames().to(tested());
  return {make_device_video(there, {4, 1}),
          make_device_video(there.flip(3).narrow(0, 0, 9), {4, 1}),
          make_device_video(at::bitwise_not(there), {4, 1})};
}

fake::Counters counted(Judge& judge, const std::vector<VideoPtr>& videos) {
  fake::reset_counters();
  judged(judge, videos);
  return fake::counters();
}
fake::Counters counted(Judge& judge, const VideoPtr& video) {
  return counted(judge, std::vector{video});
}

void expect_same(const Judgement& a, const Judgement& b) {
  EXPECT_EQ(a.transcript->output_tokens, b.transcript->output_tokens);
  ASSERT_EQ(a.dimensions.size(), b.dimensions.size());
  for (std::size_t i = 0; i < a.dimensions.size(); ++i) {
    EXPECT_EQ(a.dimensions[i].score, b.dimensions[i].score);
    EXPECT_NEAR(a.dimensions[i].expected, b.dimensions[i].expected, 1e-4);
  }
}

// The device writes the same tokens and the same scores, greedy and sampled. Not to the bit: on the
// CPU few rows go through kernels of our own, elsewhere through the library's.
TEST(JudgeOnDevice, JudgesAsOnTheCpu) {
  expect_same(judged(*judge_on(tested_name(), 24), host_video()),
              judged(*judge_on("cpu", 24), host_video()));
  expect_same(judged(*judge_on(tested_name(), 24, 0.7), host_video()),
              judged(*judge_on("cpu", 24, 0.7), host_video()));
}

// One read for each token and nothing else makes the host wait between two tokens.
TEST(JudgeOnDevice, OneHostReadADecodeStep) {
  NEEDS_COUNTERS();
  for (const double temperature : {0.0, 0.7}) {
    SCOPED_TRACE(temperature);
    const fake::Counters few = counted(*judge_on(tested_name(), 8, temperature), device_video());
    const fake::Counters many = counted(*judge_on(tested_name(), 20, temperature), device_video());
    ASSERT_GT(many.operators, few.operators);
    EXPECT_EQ(many.host_reads() - few.host_reads(), 12);
    EXPECT_EQ(many.waits() - few.waits(), 12);
    EXPECT_EQ(many.items + many.data_dependent + many.synchronizes, 0);
  }
}

// A batch is read once a step, however many share it.
TEST(JudgeOnDevice, OneHostReadADecodeStepOfABatch) {
  NEEDS_COUNTERS();
  const std::vector<VideoPtr> videos = three_device_videos();
  const fake::Counters few = counted(*judge_on(tested_name(), 8), videos);
  const fake::Counters many = counted(*judge_on(tested_name(), 20), videos);
  EXPECT_EQ(many.host_reads() - few.host_reads(), 12);
  EXPECT_EQ(many.waits() - few.waits(), 12);
}

// A judgement has the same bits alone, in a full batch, and where it joins late.
TEST(JudgeOnDevice, CompanyChangesNoBit) {
  const std::vector<VideoPtr> videos = three_device_videos();
  const auto text = [](const Judgement& judgement) { return to_json(judgement, false); };
  const std::vector<Judgement> together = judged(*judge_on(tested_name(), 12, 0, 2), videos);
  const std::vector<Judgement> turned =
      judged(*judge_on(tested_name(), 12, 0, 2), {videos[2], videos[0], videos[1]});
  const JudgePtr alone = judge_on(tested_name(), 12, 0, 2);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(text(judged(*alone, videos[i])), text(together[i]));
    EXPECT_EQ(text(turned[(i + 1) % 3]), text(together[i]));
  }
  EXPECT_NE(together[0].reward, together[2].reward);
}

// Frames that are on the device are judged there: nothing of them crosses, and the stream of the
// judge waits for their maker's by an event.
TEST(JudgeOnDevice, FramesOnTheDeviceStayThere) {
  const JudgePtr judge = judge_on(tested_name(), 8);
  const fake::Counters from_host = counted(*judge, host_video());
  const fake::Counters from_device = counted(*judge, device_video());
  if (fake::registered()) {
    EXPECT_EQ(from_device.host_reads(), from_host.host_reads());
    EXPECT_GE(from_host.h2d_bytes - from_device.h2d_bytes, 8 * 3 * 64 * 64);
    EXPECT_LT(from_device.h2d_bytes, 64 * 1024);
    EXPECT_GT(from_device.events_waited, from_host.events_waited);
  }
  expect_same(judged(*judge, device_video()), judged(*judge, host_video()));
}

// Loading copies each weight once, in the bytes of the file; judging copies none.
TEST(JudgeOnDevice, WeightsAreCopiedOnce) {
  NEEDS_COUNTERS();
  const auto bytes = static_cast<std::int64_t>(Checkpoint::open(kFolder).bytes());
  const std::int64_t before = fake::allocated_bytes();
  fake::reset_counters();
  const JudgePtr judge = judge_on(tested_name(), 0);
  EXPECT_GE(fake::counters().h2d_bytes, bytes);
  EXPECT_LT(fake::counters().h2d_bytes, bytes + bytes / 100);
  EXPECT_LT(fake::allocated_bytes() - before, bytes + bytes / 20);  // norms and biases are widened
}

// A tensor in the wrong place is found, not moved.
TEST(JudgeOnDevice, MixedPlacementRaises) {
  if (tested().is_cpu()) GTEST_SKIP() << "on the CPU nothing can be in the wrong place";
  const auto model = videoscore2::Model::load(kFolder, at::kFloat, false, tested());
  const at::Tensor ids = at::tensor({1, 2, 3}, at::kLong);
  EXPECT_NO_THROW(model->language().embed(ids.to(tested())));
  EXPECT_THROW(model->language().embed(ids), c10::Error);
  const at::Tensor hidden = model->language().embed(ids.to(tested()));
  EXPECT_NO_THROW(model->language().logits(hidden));
  EXPECT_THROW(model->language().logits(hidden.cpu()), c10::Error);
  const videoscore2::Grid grid{1, 4, 4};
  const at::Tensor patches = at::zeros({16, 3 * 2 * 8 * 8});
  EXPECT_NO_THROW(model->vision()(patches.to(tested()), grid));
  EXPECT_THROW(model->vision()(patches, grid), c10::Error);
}

}  // namespace
}  // namespace bestreel
