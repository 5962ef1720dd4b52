#include "engine/step_pace.h"

#include <gtest/gtest.h>

namespace skep::engine {
namespace {

using std::chrono::milliseconds;

TEST(StepPace, IsOneWhereStepsTakeWhatTheyUsuallyTake) {
  StepPace pace;
  EXPECT_EQ(pace.take(), 0) << "nothing was seen";
  for (int i = 0; i < 50; ++i) {
    pace.record(1, milliseconds(10));
    pace.record(64, milliseconds(100));
  }
  EXPECT_NEAR(pace.take(), 1, 1e-9);
  EXPECT_EQ(pace.take(), 0);
}

TEST(StepPace, TellsSlowStepsWhateverTheirSizes) {
  StepPace pace;
  for (int i = 0; i < 50; ++i) {
    pace.record(1, milliseconds(10));
    pace.record(64, milliseconds(100));
  }
  pace.take();
  for (int i = 0; i < 20; ++i) pace.record(1, milliseconds(30));
  EXPECT_NEAR(pace.take(), 3, 0.2);
  for (int i = 0; i < 20; ++i) pace.record(70, milliseconds(330));
  EXPECT_NEAR(pace.take(), 3, 0.2);
}

TEST(StepPace, ABusyMinuteIsNotTheRuleButLongerContextsBecomeIt) {
  StepPace pace;
  for (int i = 0; i < 50; ++i) pace.record(4, milliseconds(10));
  pace.take();
  for (int i = 0; i < 100; ++i) pace.record(4, milliseconds(40));
  EXPECT_GT(pace.take(), 2.5);
  for (int i = 0; i < 4000; ++i) pace.record(4, milliseconds(40));
  pace.take();
  pace.record(4, milliseconds(40));
  EXPECT_NEAR(pace.take(), 1, 0.1);
}

TEST(StepPace, AFirstSlowStepIsForgottenSoon) {
  StepPace pace;
  pace.record(1, milliseconds(100));
  for (int i = 0; i < 30; ++i) pace.record(1, milliseconds(10));
  pace.take();
  pace.record(1, milliseconds(10));
  EXPECT_NEAR(pace.take(), 1, 0.05);
}

}  // namespace
}  // namespace skep::engine
