#include "engine/affinity_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::engine {
namespace {

using ::testing::ElementsAre;

const std::vector<CpuUse> kSecondTaken = {{0, 0.05}, {1, 0.95}};
const std::vector<CpuUse> kQuiet = {{0, 0.0}, {1, 0.0}};

TEST(AffinityPolicy, LeavesACpuThatOthersKeepToOnceFewerThreadsRun) {
  AffinityPolicy policy({0, 1});
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(policy.observe(kSecondTaken, 2, 0.4, true)) << "both are needed";
  EXPECT_FALSE(policy.observe(kSecondTaken, 1, 0.1, true));
  EXPECT_FALSE(policy.observe(kSecondTaken, 1, 0.1, true));
  const auto change = policy.observe(kSecondTaken, 1, 0.1, true);
  ASSERT_TRUE(change);
  EXPECT_THAT(change->cpus, ElementsAre(0));
}

TEST(AffinityPolicy, ABriefVisitChangesNothing) {
  AffinityPolicy policy({0, 1});
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(policy.observe(kSecondTaken, 1, 0, true));
    EXPECT_FALSE(policy.observe(kSecondTaken, 1, 0, true));
    EXPECT_FALSE(policy.observe(kQuiet, 1, 0, true));
  }
}

TEST(AffinityPolicy, TakesAllCpusAgainWhenAnotherThreadRuns) {
  AffinityPolicy policy({0, 1});
  for (int i = 0; i < 3; ++i) policy.observe(kSecondTaken, 1, 0, true);
  ASSERT_THAT(policy.cpus(), ElementsAre(0));
  ASSERT_TRUE(policy.observe(kQuiet, 2, 0, false)) << "at once, even while nothing is computed";
  EXPECT_THAT(policy.cpus(), ElementsAre(0, 1));
}

TEST(AffinityPolicy, ANeighbourThatFollowsUsMakesUsWaitLongerBeforeTheNextTry) {
  AffinityPolicy policy({0, 1});
  const std::vector<CpuUse> first_taken = {{0, 0.9}, {1, 0.0}};
  const auto tries = [&] {
    int n = 1;
    while (!policy.observe(kSecondTaken, 1, 0, true)) ++n;
    while (!policy.observe(first_taken, 1, 0, true)) {
    }
    return n;
  };
  EXPECT_EQ(tries(), 3);
  EXPECT_EQ(tries(), 6);
  EXPECT_EQ(tries(), 12);
}

TEST(AffinityPolicy, IdleIntervalsTeachNothing) {
  AffinityPolicy policy({0, 1});
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(kSecondTaken, 1, 0, false));
}

TEST(AffinityPolicy, CpusAreWrittenAsRanges) {
  EXPECT_EQ(to_string(std::vector<int>{0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(to_string(std::vector<int>{}), "");
}

}  // namespace
}  // namespace skep::engine
