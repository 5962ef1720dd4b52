#include "engine/thread_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::engine {
namespace {

const CpuSample kQuiet{.waited = 0.01, .idle_cores = 0.0, .stepping = true};
const CpuSample kCrowded{.waited = 0.4, .idle_cores = 0.0, .stepping = true};
const CpuSample kRoomy{.waited = 0.01, .idle_cores = 1.0, .stepping = true};

int changes(ThreadPolicy& policy, const CpuSample& sample, int times) {
  int n = 0;
  for (int i = 0; i < times; ++i) n += policy.observe(sample) ? 1 : 0;
  return n;
}

TEST(ThreadPolicy, AQuietMachineKeepsAllThreads) {
  ThreadPolicy policy(2);
  EXPECT_EQ(changes(policy, kQuiet, 100), 0);
  EXPECT_EQ(policy.threads(), 2);
}

TEST(ThreadPolicy, ABusyNeighbourCostsOneThreadWithinTwoIntervals) {
  ThreadPolicy policy(2);
  EXPECT_FALSE(policy.observe(kCrowded));
  const auto change = policy.observe(kCrowded);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->threads, 1);
  EXPECT_EQ(change->why, "threads waited 40 % of their time for a core");
  EXPECT_EQ(changes(policy, kCrowded, 10), 0) << "one thread is the least";
}

TEST(ThreadPolicy, AMomentOfWaitingChangesNothing) {
  ThreadPolicy policy(4);
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(policy.observe(kCrowded));
    EXPECT_FALSE(policy.observe(kQuiet));
  }
}

TEST(ThreadPolicy, AnIdleCoreIsUsedAgainAfterAWhile) {
  ThreadPolicy policy(2);
  changes(policy, kCrowded, 2);
  EXPECT_EQ(changes(policy, kRoomy, ThreadPolicy::kRoomIntervals - 1), 0);
  EXPECT_TRUE(policy.observe(kRoomy));
  EXPECT_EQ(policy.threads(), 2);
}

TEST(ThreadPolicy, ALoadAtTheEdgeMakesItPatient) {
  ThreadPolicy policy(2);
  int flips = 0;
  for (int i = 0; i < 600; ++i) flips += policy.observe(policy.threads() == 2 ? kCrowded : kRoomy) ? 1 : 0;
  EXPECT_LE(flips, 30) << "without patience it would be 171";
}

TEST(ThreadPolicy, WithoutWorkItLearnsNothing) {
  ThreadPolicy policy(2);
  EXPECT_EQ(changes(policy, {.waited = 0.9, .idle_cores = 2, .stepping = false}, 50), 0);
}

}  // namespace
}  // namespace skep::engine
