#include "coalition/payoff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace skep::coalition {
namespace {

TEST(Shapley, GivesEachHalfOfItsLinksInAGraphGame) {
  // v = sum of links minus a cost of the size: the closed form is half of one's links minus an equal share of the cost.
  const double w[4][4] = {{0, 1, 0.5, 0}, {1, 0, 0.25, 0.75}, {0.5, 0.25, 0, 0}, {0, 0.75, 0, 0}};
  const CoordinationCost cost;
  const std::vector<Agent> members{0, 1, 2, 3};
  const Worth worth = [&](std::span<const Agent> some) {
    double sum = -cost.of(some.size());
    for (const Agent a : some)
      for (const Agent b : some) sum += w[a][b] / 2;
    return sum;
  };
  const auto values = shapley(members, worth, {.samples = 4000, .seed = 3});
  for (size_t i = 0; i < 4; ++i) {
    const double links = std::accumulate(w[i], w[i] + 4, 0.0);
    EXPECT_NEAR(values[i], links / 2 - cost.of(4) / 4, 0.01);
  }
  EXPECT_NEAR(std::accumulate(values.begin(), values.end(), 0.0), worth(members), 1e-9);
}

TEST(Shapley, ThePairOfGlovesSharesAsInTheTextbook) {
  // One left glove, two right ones, a pair is worth 1: (2/3, 1/6, 1/6).
  const std::vector<Agent> members{0, 1, 2};
  const Worth worth = [](std::span<const Agent> some) {
    bool left = false, right = false;
    for (const Agent a : some) (a == 0 ? left : right) = true;
    return left && right ? 1.0 : 0.0;
  };
  const auto values = shapley(members, worth, {.samples = 20'000, .seed = 1});
  EXPECT_NEAR(values[0], 2.0 / 3, 0.01);
  EXPECT_NEAR(values[1], 1.0 / 6, 0.01);
}

TEST(Imputation, LeavesSharesAloneThatAreAboveTheirFloors) {
  EXPECT_THAT(imputation(std::vector{1.0, 2.0}, std::vector{0.0, 0.0}), testing::ElementsAre(1.0, 2.0));
}

TEST(Imputation, TakesWhatIsMissingFromTheOthersInEqualParts) {
  const auto shares = imputation(std::vector{-0.5, 1.0, 3.0, 0.1}, std::vector{0.0, 0.0, 0.0, 0.0});
  EXPECT_THAT(shares, testing::ElementsAre(testing::DoubleEq(0), testing::DoubleNear(0.8, 1e-12),
                                           testing::DoubleNear(2.8, 1e-12), testing::DoubleEq(0)));
}

TEST(Imputation, AllAtTheirFloorsWhenThereIsNothingMore) {
  EXPECT_THAT(imputation(std::vector{-1.0, 1.0}, std::vector{0.0, 0.0}), testing::ElementsAre(0.0, 0.0));
}

}  // namespace
}  // namespace skep::coalition
