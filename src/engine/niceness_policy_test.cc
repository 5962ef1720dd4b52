#include "engine/niceness_policy.h"

#include <gtest/gtest.h>

namespace skep::engine {
namespace {

CpuSample waiting(double waited, double idle_cores = 0) {
  return {.waited = waited, .idle_cores = idle_cores, .stepping = true};
}

TEST(NicenessPolicy, BackgroundWorkStepsBackOnlyWhenOthersWantTheCores) {
  NicenessPolicy policy(0, true);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(waiting(0.05), true));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(waiting(0.5), false)) << "somebody waits for it";
  EXPECT_FALSE(policy.observe(waiting(0.5), true));
  EXPECT_FALSE(policy.observe(waiting(0.5), true));
  const auto change = policy.observe(waiting(0.5), true);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->niceness, NicenessPolicy::kNicer);
}

TEST(NicenessPolicy, BackgroundWorkStepsBackAlsoWhereOnlyTheOthersWait) {
  NicenessPolicy policy(0, true);
  CpuSample others = waiting(0);
  others.pressure = 0.3;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(others, true));
  others.pressure = 0.8;
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(policy.observe(others, true));
  EXPECT_TRUE(policy.observe(others, true));
}

TEST(NicenessPolicy, AnUrgentSequenceComesForwardAtOnce) {
  NicenessPolicy policy(2, true);
  EXPECT_FALSE(policy.urgent());
  for (int i = 0; i < 3; ++i) policy.observe(waiting(0.5), true);
  EXPECT_EQ(policy.niceness(), 12);
  ASSERT_TRUE(policy.urgent());
  EXPECT_EQ(policy.niceness(), 2);
}

TEST(NicenessPolicy, ComesBackWhenTheCoresAreFree) {
  NicenessPolicy policy(0, true);
  for (int i = 0; i < 3; ++i) policy.observe(waiting(0.5), true);
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(policy.observe(waiting(0, 1), true));
  EXPECT_TRUE(policy.observe(waiting(0, 1), true));
  EXPECT_EQ(policy.niceness(), 0);
}

TEST(NicenessPolicy, WhoMayNotComeBackStaysWhereItIs) {
  NicenessPolicy policy(0, false);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(waiting(0.9), true));
}

}  // namespace
}  // namespace skep::engine
