#include "scheduling/next_use.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

namespace skep::scheduling {
namespace {

void use(NextUse& next, const std::string& pattern, int times = 1) {
  for (int i = 0; i < times; ++i) {
    for (const char model : pattern) next.used(std::string(1, model), 1_GiB, std::chrono::seconds(2));
  }
}

TEST(NextUse, AModelThatWasNeverUsedIsInfinitelyFar) {
  NextUse next(2_GiB);
  EXPECT_TRUE(std::isinf(next.distance("A")));
}

TEST(NextUse, RecencyIsTheAgeInVisitsAndUsesInARowAreOneVisit) {
  NextUse next(2_GiB);
  use(next, "AAABBC");
  EXPECT_EQ(next.distance("A", Predictor::recency), 3);
  EXPECT_EQ(next.distance("B", Predictor::recency), 2);
  EXPECT_EQ(next.distance("C", Predictor::recency), 1);
}

TEST(NextUse, FrequencyFollowsTheDecayedCounts) {
  NextUse next(2_GiB);
  use(next, "ABACABAD", 20);
  const double a = next.distance("A", Predictor::frequency);
  EXPECT_NEAR(a, 2, 0.2);
  EXPECT_NEAR(next.distance("B", Predictor::frequency), 4, 0.5);
  EXPECT_NEAR(next.distance("C", Predictor::frequency), 8, 1);
}

TEST(NextUse, IntervalExpectsTheRestOfThePastIntervals) {
  NextUse next(2_GiB);
  use(next, "ABC", 5);
  EXPECT_EQ(next.distance("A", Predictor::interval), 1);
  EXPECT_EQ(next.distance("B", Predictor::interval), 2);
  EXPECT_EQ(next.distance("C", Predictor::interval), 3);
  use(next, "BCBCBC");  // A is overdue: as much again
  EXPECT_EQ(next.distance("A", Predictor::interval), 9);
}

TEST(NextUse, ReplayKnowsALongPeriodByHeart) {
  const std::string period = "ABACADABEACBD";
  NextUse next(3_GiB);
  use(next, period, 3);
  use(next, "ABAC");  // ADABEACBD comes
  EXPECT_EQ(next.distance("A", Predictor::replay), 1);
  EXPECT_EQ(next.distance("D", Predictor::replay), 2);
  EXPECT_EQ(next.distance("B", Predictor::replay), 4);
  EXPECT_EQ(next.distance("E", Predictor::replay), 5);
  EXPECT_EQ(next.believed(), Predictor::replay);
}

TEST(NextUse, BelievesWhatWouldHavePaidLeast) {
  NextUse cycle(2_GiB);
  EXPECT_EQ(cycle.believed(), Predictor::recency);
  use(cycle, "ABC", 10);
  EXPECT_NE(cycle.believed(), Predictor::recency);  // which would load every time

  NextUse skewed(3_GiB);
  std::mt19937 random(3);
  std::discrete_distribution<int> draw({8, 4, 2, 1, 1, 1, 1, 1});
  for (int i = 0; i < 1000; ++i) use(skewed, std::string(1, static_cast<char>('A' + draw(random))));
  EXPECT_EQ(skewed.believed(), Predictor::frequency);
}

TEST(NextUse, RemembersABoundedNumberOfModels) {
  NextUse next(2_GiB);
  for (int i = 0; i < 3000; ++i) next.used("model " + std::to_string(i), 1_GiB, std::chrono::seconds(1));
  EXPECT_TRUE(std::isinf(next.distance("model 0")));
  EXPECT_EQ(next.distance("model 2999", Predictor::recency), 1);
}

}  // namespace
}  // namespace skep::scheduling
