#include "plugin/combine.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"

namespace bestreel {
namespace {

using Rewards = std::vector<std::vector<std::optional<double>>>;
using Combined = std::vector<std::optional<double>>;

// With one judge and weights, the reward is the judge's own.
TEST(Combine, OneJudgeIsItself) {
  EXPECT_EQ(combine(Combination::kWeights, Rewards{{2.5, 4.0}}), (Combined{2.5, 4.0}));
}

// Weights are relative; a candidate without one judge's reward has none.
TEST(Combine, WeightsAverageRewards) {
  const Rewards rewards{{1.0, 2.0, 3.0}, {5.0, std::nullopt, 1.0}};
  const std::vector<double> weights{1, 3};
  EXPECT_EQ(combine(Combination::kWeights, rewards, weights), (Combined{4.0, std::nullopt, 1.5}));
}

// Ranks do not see a judge's scale: 1000 counts as a first place, no more.
TEST(Combine, RankMeanIsFreeOfScale) {
  const Rewards rewards{{1000.0, 2.0, 1.0}, {0.1, 0.3, 0.2}};
  // ranks: 1 2 3 and 3 1 2, means 2, 1.5, 2.5 of n = 3
  EXPECT_EQ(combine(Combination::kRankMean, rewards), (Combined{0.5, 0.75, 0.25}));
}

// Ties share their mean rank; failures are not ranked at all.
TEST(Combine, TiesShareTheirRank) {
  const Rewards rewards{{3.0, 3.0, std::nullopt, 1.0}};
  EXPECT_EQ(combine(Combination::kRankMean, rewards), (Combined{0.75, 0.75, std::nullopt, 0.0}));
  EXPECT_EQ(combine(Combination::kRankMean, Rewards{{7.0}}), (Combined{1.0}));
}

// A judge of double weight counts as two of it, in ranks as in rewards.
TEST(Combine, WeightsApplyToRanks) {
  const Rewards two{{1.0, 0.0, 2.0}, {5.0, 9.0, 7.0}};
  const Rewards three{{1.0, 0.0, 2.0}, {5.0, 9.0, 7.0}, {5.0, 9.0, 7.0}};
  const std::vector<double> weights{1, 2};
  for (const Combination how : {Combination::kRankMean, Combination::kWeights}) {
    EXPECT_EQ(combine(how, two, weights), combine(how, three));
  }
}

// One judge's reward comes through to the last bit, whatever its weight.
TEST(Combine, TheWeightOfOneJudgeCancels) {
  for (double weight = 0.1; weight < 3; weight += 0.1) {
    for (double reward = 1.1; reward < 5; reward += 0.1) {
      const std::vector<double> weights{weight};
      EXPECT_EQ(combine(Combination::kWeights, Rewards{{reward}}, weights), (Combined{reward}));
    }
  }
}

TEST(Combine, RefusesWhatIsNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> heavy{infinity};
  for (const Combination how : {Combination::kRankMean, Combination::kWeights}) {
    EXPECT_THROW(combine(how, Rewards{{1.0, nan}}), UsageError);
    EXPECT_THROW(combine(how, Rewards{{-infinity, 1.0}}), UsageError);
    EXPECT_THROW(combine(how, Rewards{{1.0}}, heavy), UsageError);
  }
}

TEST(Combine, EmptyAndFailedOnly) {
  EXPECT_TRUE(combine(Combination::kRankMean, {}).empty());
  EXPECT_EQ(combine(Combination::kRankMean, Rewards{{std::nullopt}}), (Combined{std::nullopt}));
}

TEST(Combine, RefusesWrongShapes) {
  const std::vector<double> two{1, 2}, zero{0};
  EXPECT_THROW(combine(Combination::kWeights, Rewards{{1.0}}, two), UsageError);
  EXPECT_THROW(combine(Combination::kWeights, Rewards{{1.0}}, zero), UsageError);
  EXPECT_THROW(combine(Combination::kWeights, Rewards{{1.0}, {1.0, 2.0}}), UsageError);
}

}  // namespace
}  // namespace bestreel
