// The engine of the other tests conforms; engines that break one rule each are found out.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/conformance/between.h"
#include "tests/conformance/engine_conformance.h"
#include "tests/unit/session/synthetic_engine.h"

namespace bestreel::conformance {
namespace {

using testing::SyntheticEngine;
using Hands = SyntheticEngine::Hands;

Subject synthetic(Hands hands, int stochastic_until, std::size_t keep_bytes = 1 << 20) {
  return {.make = [=] {
    auto engine = std::make_unique<SyntheticEngine>(hands, 8, keep_bytes);
    engine->what.stochastic_until = stochastic_until;
    return engine;
  }};
}

std::set<std::string> broken(const Subject& subject) {
  std::set<std::string> names;
  for (const Finding& finding : examine(subject)) {
    if (!finding.violations.empty()) names.insert(finding.property);
  }
  return names;
}

TEST(Conformance, SyntheticEngineHoweverItRuns) {
  for (const Hands hands : {Hands::kOne, Hands::kMany, Hands::kAtATime, Hands::kFour}) {
    for (const int until : {0, 1, 7, 8}) {
      const std::vector<Finding> findings = examine(synthetic(hands, until));
      EXPECT_EQ(violations(findings), "");
      for (const Finding& finding : findings) EXPECT_TRUE(finding.claimed) << finding.property;
    }
    EXPECT_EQ(violations(examine(synthetic(hands, 7, 0))), "");
  }
}

/// What is not claimed is not examined, and said so.
TEST(Conformance, NothingIsAskedThatIsNotClaimed) {
  const std::vector<Finding> findings = examine({.make = [] {
    auto engine = std::make_unique<SyntheticEngine>(Hands::kAtATime, 8);
    engine->what.previews = engine->what.lookahead = engine->what.branching = false;
    engine->what.renoise = engine->what.drafts = false;
    return engine;
  }});
  EXPECT_EQ(violations(findings), "");
  EXPECT_EQ(std::count_if(findings.begin(), findings.end(),
                          [](const Finding& finding) { return !finding.claimed; }),
            7);
}

/// The synthetic engine behind a `Fault`.
template <typename Fault>
Subject faulty(std::function<void(SyntheticEngine&)> change = {}) {
  return {.make = [=]() -> std::unique_ptr<Engine> {
    auto engine = std::make_shared<SyntheticEngine>(Hands::kOne, 8, 1 << 20);
    engine->what.stochastic_until = 7;
    if (change) change(*engine);
    return std::make_unique<LoopEngine>(
        engine->what, [engine](std::span<const Start> starts, SamplerCallback& callback) {
          Fault fault(callback);
          engine->run(starts, fault);
        });
  }};
}

struct Silent final : Between {
  using Between::Between;
  bool stepped(CandidateId, int) override { return true; }
};
struct Dear final : Between {
  using Between::Between;
  void on_steps_done(CandidateId id, int step, const Cost& spent) override {
    to_.on_steps_done(id, step, {spent.forwards + 1, spent.seconds, 0});
  }
};
struct Deaf final : Between {
  using Between::Between;
  bool stepped(CandidateId id, int step) override {
    to_.stepped(id, step);
    return true;
  }
};
struct Keyless final : Between {
  using Between::Between;
  std::vector<Assignment> resample_at(int step) override {
    auto all = to_.resample_at(step);
    for (Assignment& each : all) each.key = 0;
    return all;
  }
};
struct Blind final : Between {
  using Between::Between;
  std::optional<PreviewRequest> wants_preview(CandidateId, int) const override { return {}; }
};
struct Greedy final : Between {
  using Between::Between;
  std::vector<Assignment> resample_at(int step) override {
    auto all = to_.resample_at(step);
    if (all.empty()) all.push_back({0, 0, 0});
    return all;
  }
};
struct Cheap final : Between {
  using Between::Between;
  void preview(CandidateId id, int step, DecodedFrames shown, const Cost&) override {
    to_.preview(id, step, std::move(shown), {});
  }
};
struct Quiet final : Between {
  using Between::Between;
  void restored(CandidateId, const Cost&) override {}
};
struct Swallowing final : Between {
  using Between::Between;
  void on_steps_done(CandidateId id, int step, const Cost& spent) override {
    try {
      to_.on_steps_done(id, step, spent);
    } catch (...) {
    }
  }
};

TEST(Conformance, WhoBreaksARuleIsFoundOut) {
  using Names = std::set<std::string>;
  ASSERT_EQ(broken(faulty<Between>()), Names{});
  EXPECT_TRUE(broken(faulty<Silent>()).contains("company"));
  EXPECT_TRUE(broken(faulty<Dear>()).contains("company"));
  EXPECT_EQ(broken(faulty<Deaf>()), Names{"left"});
  EXPECT_EQ(broken(faulty<Keyless>()), Names{"branches"});
  EXPECT_EQ(broken(faulty<Blind>()), (Names{"previews", "lookahead"}));
  EXPECT_EQ(broken(faulty<Greedy>()), Names{"dropped"});
  EXPECT_EQ(broken(faulty<Cheap>()), Names{"lookahead"});
  EXPECT_EQ(broken(faulty<Quiet>()), Names{"middles"});
  EXPECT_TRUE(broken(faulty<Swallowing>()).contains("interruption"));
}

/// Claims that are not true: divergence where there is none, and none where there is.
TEST(Conformance, AFalseClaimIsFoundOut) {
  const auto claims = [](int claimed, int really) {
    return Subject{.make = [=]() -> std::unique_ptr<Engine> {
      auto engine = std::make_shared<SyntheticEngine>(Hands::kOne, 8, 1 << 20);
      engine->what.stochastic_until = really;
      EngineCapabilities what = engine->what;
      what.stochastic_until = claimed;
      return std::make_unique<LoopEngine>(
          what, [engine](std::span<const Start> starts, SamplerCallback& callback) {
            engine->run(starts, callback);
          });
    }};
  };
  ASSERT_EQ(broken(claims(7, 7)), std::set<std::string>{});
  EXPECT_TRUE(broken(claims(7, 0)).contains("divergence"));
  EXPECT_TRUE(broken(claims(0, 7)).contains("divergence"));
  EXPECT_TRUE(broken(claims(6, 7)).contains("divergence"));
}

/// A candidate that depends on how many others there are.
TEST(Conformance, AnEngineThatMixesCandidatesIsFoundOut) {
  const Subject subject{.make = []() -> std::unique_ptr<Engine> {
    auto engine = std::make_shared<SyntheticEngine>(Hands::kOne, 8, 1 << 20);
    return std::make_unique<LoopEngine>(
        engine->what, [engine](std::span<const Start> starts, SamplerCallback& callback) {
          engine->offset = static_cast<double>(starts.size());
          engine->run(starts, callback);
        });
  }};
  EXPECT_TRUE(broken(subject).contains("company"));
}

}  // namespace
}  // namespace bestreel::conformance
