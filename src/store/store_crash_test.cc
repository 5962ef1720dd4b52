// kill -9 at random instants: nothing acknowledged is lost, nothing is half there.

#include <gtest/gtest.h>

#include "store/crash_trial.h"
#include "store/testing_folder.h"

namespace skep::store {
namespace {

TEST(StoreCrash, LosesNothingAcknowledgedWhenKilledAtFiftyRandomInstants) {
  TestingFolder folder;
  CrashTrials trials({.folder = folder.path(), .trials = 50, .seed = 7});
  auto result = trials.run();
  ASSERT_TRUE(result) << result.error().text();
  EXPECT_EQ(result->lost, 0);
  EXPECT_EQ(result->torn, 0);
  EXPECT_GT(result->acknowledged, 1000) << "the children did not get to write";
  EXPECT_GT(result->killed_writing, 25) << "the kills did not hit children at work";
}

}  // namespace
}  // namespace skep::store
