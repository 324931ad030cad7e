#include "plugin/combine.h"

#include <gtest/gtest.h>

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
