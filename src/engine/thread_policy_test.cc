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

CpuSample paced(const CpuSample& sample, double pace) {
  CpuSample with = sample;
  with.pace = pace;
  return with;
}

TEST(ThreadPolicy, AThreadComesBackWhereStepsBecameSlowerWithoutIt) {
  ThreadPolicy policy(2);
  changes(policy, paced(kCrowded, 1.5), 2);
  ASSERT_EQ(policy.threads(), 1);
  EXPECT_EQ(changes(policy, paced(kQuiet, 2.0), ThreadPolicy::kTrialIntervals - 1), 0);
  const auto change = policy.observe(paced(kQuiet, 2.0));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->threads, 2);
  EXPECT_EQ(change->why, "steps took 1.3 times as long with one less");
  EXPECT_EQ(changes(policy, paced(kCrowded, 1.5), 3), 0) << "the next try waits twice as long";
  EXPECT_TRUE(policy.observe(paced(kCrowded, 1.5)));
}

TEST(ThreadPolicy, AThreadStaysAwayWhereStepsBecameFasterWithoutIt) {
  ThreadPolicy policy(2);
  changes(policy, paced(kCrowded, 6.0), 2);
  EXPECT_EQ(changes(policy, paced(kQuiet, 1.9), 50), 0);
  EXPECT_EQ(policy.threads(), 1);
}

TEST(ThreadPolicy, ATrialThatNeverPaysBecomesRare) {
  ThreadPolicy policy(2);
  int intervals_with_one = 0;
  for (int i = 0; i < 1000; ++i) {
    policy.observe(paced(kCrowded, policy.threads() == 2 ? 1.5 : 2.0));
    intervals_with_one += policy.threads() == 1 ? 1 : 0;
  }
  EXPECT_LT(intervals_with_one, 50);
}

TEST(ThreadPolicy, WhoHandsWorkOverGivesUpAThreadOnlyWhereMoreThanItsShareIsLost) {
  ThreadPolicy policy(2);
  CpuSample sample = kCrowded;
  sample.stalled = 0.3;
  EXPECT_EQ(changes(policy, sample, 50), 0) << "waiting in the queue is not what it loses";
  sample.stalled = 0.6;
  EXPECT_EQ(changes(policy, sample, 2), 1);
  ThreadPolicy four(4);
  sample.stalled = 0.3;
  EXPECT_GT(changes(four, sample, 50), 0) << "one of four is less of a loss";
  EXPECT_EQ(four.threads(), 3);
}

TEST(ThreadPolicy, WithoutWorkItLearnsNothing) {
  ThreadPolicy policy(2);
  EXPECT_EQ(changes(policy, {.waited = 0.9, .idle_cores = 2, .stepping = false}, 50), 0);
}

}  // namespace
}  // namespace skep::engine
