// A host behind the C functions of adapters/diffusers: what it says and is told arrives whole.
#include <gtest/gtest.h>

#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "adapters/diffusers/c_api.h"
#include "adapters/diffusers/handle.h"
#include "tests/conformance/between.h"
#include "tests/conformance/engine_conformance.h"
#include "tests/unit/session/synthetic_engine.h"

namespace bestreel::conformance {
namespace {

using Json = nlohmann::json;
using testing::SyntheticEngine;
using Hands = SyntheticEngine::Hands;

/// What a C function answered; its error as an exception.
template <typename T>
T said(T answer) {
  if constexpr (std::is_pointer_v<T>) {
    if (answer == nullptr) throw std::runtime_error(bestreel_error());
  } else {
    if (answer == -1) throw std::runtime_error(bestreel_error());
  }
  return answer;
}

/// A host in C: knows a session by its functions alone.
class CHost final : public SamplerCallback {
 public:
  explicit CHost(BestreelSession* session) : s_(session) {}

  std::vector<Start> next_wave() {
    std::vector<Start> wave;
    for (const Json& each : Json::parse(said(bestreel_next_wave(s_)))) {
      wave.push_back({each.at("id"),
                      {each.at("prompt"), each.at("negative")},
                      State::parse(each.at("state").get<std::string>()),
                      each.at("draft"),
                      each.at("label")});
    }
    return wave;
  }

  int next_stop(int step) const override { return said(bestreel_next_stop(s_, step)); }
  void restored(CandidateId id, const Cost& c) override {
    said(bestreel_restored(s_, id, c.forwards, c.seconds, c.peak_bytes));
  }
  bool request_steps(CandidateId id, int from, int to) override {
    return said(bestreel_request_steps(s_, id, from, to)) == 1;
  }
  bool stepped(CandidateId id, int step) override {
    return said(bestreel_stepped(s_, id, step)) == 1;
  }
  void on_steps_done(CandidateId id, int step, const Cost& c) override {
    said(bestreel_on_steps_done(s_, id, step, c.forwards, c.seconds, c.peak_bytes));
  }
  bool keep_state(CandidateId id, int step) const override {
    return said(bestreel_keep_state(s_, id, step)) == 1;
  }
  std::optional<PreviewRequest> wants_preview(CandidateId id, int step) const override {
    const Json request = Json::parse(said(bestreel_wants_preview(s_, id, step)));
    if (request.is_null()) return std::nullopt;
    return PreviewRequest{request.at("lookahead"), request.at("decoder") == "full"
                                                       ? PreviewDecoder::kFull
                                                       : PreviewDecoder::kPreview};
  }
  void preview(CandidateId id, int step, DecodedFrames shown, const Cost& c) override {
    if (const auto* failure = std::get_if<Failure>(&shown)) {
      said(bestreel_preview_failed(s_, id, step, failure->code.c_str(), failure->sentence.c_str(),
                                   c.forwards, c.seconds));
      return;
    }
    const std::vector<std::uint8_t> pixels = pixels_of(*std::get<VideoPtr>(shown));
    said(bestreel_preview(s_, id, step, pixels.data(), 3, 1, 1, c.forwards, c.seconds));
  }
  std::vector<Assignment> resample_at(int step) override {
    return assignments(said(bestreel_resample_at(s_, step)));
  }
  std::vector<Assignment> arrive(std::span<const CandidateId> ids, int step) override {
    return assignments(said(bestreel_arrive(s_, ids.data(), ids.size(), step)));
  }
  void finished(CandidateId id, FinishedVideo video, const Cost& c) override {
    const std::vector<std::uint8_t> pixels = pixels_of(*std::get<VideoPtr>(video));
    said(bestreel_finished(s_, id, pixels.data(), 3, 1, 1, c.seconds));
  }
  void failed(CandidateId id, int step, Failure failure, const Cost& c) override {
    said(bestreel_failed(s_, id, step, failure.code.c_str(), failure.sentence.c_str(), c.forwards,
                         c.seconds));
  }

 private:
  static std::vector<Assignment> assignments(const char* text) {
    std::vector<Assignment> all;
    for (const Json& each : Json::parse(text)) {
      all.push_back({each.at("id"), each.at("parent"), each.at("key")});
    }
    return all;
  }

  /// The quality, which is the synthetic video's rate, in three pixels: the rate of a C host is one
  /// for all its videos.
  static std::vector<std::uint8_t> pixels_of(const Video& video) {
    const std::int64_t rate = video.info().fps.num * 1000 / video.info().fps.den;
    std::vector<std::uint8_t> pixels(9, 0);
    for (std::size_t i = 0; i < 4; ++i) pixels[i] = static_cast<std::uint8_t>(rate >> (8 * i));
    return pixels;
  }

  BestreelSession* const s_;
};

/// Keeps what the session throws: through C it goes as a sentence, not as itself.
struct Keeping final : Between {
  using Between::Between;
  template <typename Work>
  auto kept(const Work& work) {
    try {
      return work();
    } catch (...) {
      const std::scoped_lock lock(mutex);
      if (!thrown) thrown = std::current_exception();
      throw;
    }
  }
  void on_steps_done(CandidateId id, int step, const Cost& spent) override {
    kept([&] { to_.on_steps_done(id, step, spent); });
  }
  std::mutex mutex;
  std::exception_ptr thrown;
};

Subject c_host(Hands hands) {
  return {.make = [=]() -> std::unique_ptr<Engine> {
    auto engine = std::make_shared<SyntheticEngine>(hands, 8, 1 << 20);
    engine->what.stochastic_until = 7;
    return std::make_unique<LoopEngine>(
        engine->what, [engine](std::span<const Start> starts, SamplerCallback& callback) {
          Keeping keeping(callback);
          BestreelSession session{.fps = {16, 1}, .callback = &keeping, .next_wave = [&] {
                                    return std::vector<Start>(starts.begin(), starts.end());
                                  }};
          CHost host(&session);
          try {
            engine->run(host.next_wave(), host);
          } catch (const std::runtime_error&) {
            if (!keeping.thrown) throw;
            std::rethrow_exception(keeping.thrown);
          }
        });
  }};
}

TEST(CApiConformance, AHostBehindTheCFunctions) {
  for (const Hands hands : {Hands::kOne, Hands::kMany, Hands::kAtATime, Hands::kFour}) {
    const std::vector<Finding> findings = examine(c_host(hands));
    EXPECT_EQ(violations(findings), "");
    for (const Finding& finding : findings) EXPECT_TRUE(finding.claimed) << finding.property;
  }
}

/// What is no picture, and no text, is a sentence and reaches no session.
TEST(CApiConformance, WhatCannotBeMeantIsASentence) {
  struct Nobody final : Between {
    using Between::Between;
    void finished(CandidateId, FinishedVideo, const Cost&) override { ++calls; }
    void failed(CandidateId, int, Failure, const Cost&) override { ++calls; }
    int calls = 0;
  };
  CHost unused(nullptr);
  Nobody nobody(unused);
  BestreelSession session{.fps = {16, 1}, .callback = &nobody};
  const std::uint8_t pixel[3] = {1, 2, 3};
  ASSERT_EQ(bestreel_finished(&session, 0, pixel, 1, 1, 1, 0), 0);
  ASSERT_EQ(bestreel_failed(&session, 0, 1, "code", "sentence", 0, 0), 0);
  ASSERT_EQ(nobody.calls, 2);
  const std::int64_t big = std::int64_t{1} << 40;
  EXPECT_EQ(bestreel_finished(&session, 0, pixel, 0, 1, 1, 0), -1);
  EXPECT_EQ(bestreel_finished(&session, 0, nullptr, 1, 1, 1, 0), -1);
  EXPECT_EQ(bestreel_finished(&session, 0, pixel, big, big, big, 0), -1);
  EXPECT_STREQ(bestreel_error_code(), "usage");
  EXPECT_NE(std::string(bestreel_error()).find("must fit into memory"), std::string::npos);
  EXPECT_EQ(bestreel_failed(&session, 0, 1, nullptr, "sentence", 0, 0), -1);
  EXPECT_NE(std::string(bestreel_error()).find("the code must be a text"), std::string::npos);
  EXPECT_EQ(nobody.calls, 2);
}

}  // namespace
}  // namespace bestreel::conformance
