#include "engine/niceness_policy.h"

#include <gtest/gtest.h>

namespace skep::engine {
namespace {

TEST(NicenessPolicy, BackgroundWorkStepsBackOnlyWhenOthersWantTheCores) {
  NicenessPolicy policy(0, true);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(0.05, 0, true, true));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(0.5, 0, false, true)) << "somebody waits for it";
  EXPECT_FALSE(policy.observe(0.5, 0, true, true));
  EXPECT_FALSE(policy.observe(0.5, 0, true, true));
  const auto change = policy.observe(0.5, 0, true, true);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->niceness, NicenessPolicy::kNicer);
}

TEST(NicenessPolicy, AnUrgentSequenceComesForwardAtOnce) {
  NicenessPolicy policy(2, true);
  EXPECT_FALSE(policy.urgent());
  for (int i = 0; i < 3; ++i) policy.observe(0.5, 0, true, true);
  EXPECT_EQ(policy.niceness(), 12);
  ASSERT_TRUE(policy.urgent());
  EXPECT_EQ(policy.niceness(), 2);
}

TEST(NicenessPolicy, ComesBackWhenTheCoresAreFree) {
  NicenessPolicy policy(0, true);
  for (int i = 0; i < 3; ++i) policy.observe(0.5, 0, true, true);
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(policy.observe(0, 1, true, true));
  EXPECT_TRUE(policy.observe(0, 1, true, true));
  EXPECT_EQ(policy.niceness(), 0);
}

TEST(NicenessPolicy, WhoMayNotComeBackStaysWhereItIs) {
  NicenessPolicy policy(0, false);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(policy.observe(0.9, 0, true, true));
}

}  // namespace
}  // namespace skep::engine
