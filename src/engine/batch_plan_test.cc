#include "engine/batch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <climits>

namespace skep::engine {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

TEST(BatchPlan, StreamsComeFirstAndPromptsGetWhatIsLeft) {
  const std::vector<BatchCandidate> c = {{300, true}, {1, false}, {40, true}, {1, false}};
  EXPECT_THAT(plan_batch(c, 512, INT_MAX), ElementsAre(300, 1, 40, 1));
  EXPECT_THAT(plan_batch(c, 64, INT_MAX), ElementsAre(62, 1, 0, 1));
  EXPECT_THAT(plan_batch(c, 512, 32), ElementsAre(32, 1, 0, 1));
  EXPECT_THAT(plan_batch(c, 512, 320), ElementsAre(300, 1, 20, 1));
}

TEST(BatchPlan, WhenStreamsAloneAreTooManyTheyTakeTurns) {
  const std::vector<BatchCandidate> c(3, {1, false});
  EXPECT_THAT(plan_batch(c, 2, 8, 0), ElementsAre(1, 1, 0));
  EXPECT_THAT(plan_batch(c, 2, 8, 1), ElementsAre(0, 1, 1));
  EXPECT_THAT(plan_batch(c, 2, 8, 2), ElementsAre(1, 0, 1));
}

TEST(BatchPlan, ADraftIsInTheStepWholeOrNotAtAll) {
  const std::vector<BatchCandidate> c = {{5, false}, {5, false}, {1, false}};
  EXPECT_THAT(plan_batch(c, 8, 8), ElementsAre(5, 0, 1));
}

TEST(StepTimes, PromptTokensAreLimitedToWhatStreamsMayBeStalled) {
  StepTimes times;
  EXPECT_EQ(times.prompt_budget(0), INT_MAX) << "nothing known, nobody to stall";
  for (int i = 0; i < 50; ++i) times.record(8, 0, milliseconds(20));
  for (int i = 0; i < 50; ++i) times.record(0, 100, milliseconds(100));
  EXPECT_NEAR(times.stream_step_seconds(), 0.020, 1e-6);
  EXPECT_NEAR(times.prompt_token_seconds(), 0.001, 1e-6);
  EXPECT_NEAR(times.prompt_budget(8), (StepTimes::kStall - 1) * 20, 1.0);
  EXPECT_GT(times.prompt_budget(0), times.prompt_budget(8));
}

TEST(StepTimes, WithABacklogStepsAreLarger) {
  StepTimes times;
  for (int i = 0; i < 50; ++i) times.record(8, 0, milliseconds(20));
  for (int i = 0; i < 50; ++i) times.record(0, 100, milliseconds(100));
  EXPECT_NEAR(times.prompt_budget(8, StepTimes::Prompts::backlog), StepTimes::kBacklogSeconds * 1000, 1.0);
  EXPECT_NEAR(times.prompt_budget(8, StepTimes::Prompts::critical), StepTimes::kCriticalSeconds * 1000, 1.0);
  EXPECT_LT(times.prompt_budget(8), times.prompt_budget(8, StepTimes::Prompts::backlog));
}

TEST(StepTimes, PromptsNeverStarve) {
  StepTimes times;
  for (int i = 0; i < 50; ++i) times.record(1, 0, milliseconds(1));
  for (int i = 0; i < 50; ++i) times.record(0, 10, milliseconds(1000));
  EXPECT_EQ(times.prompt_budget(1), StepTimes::kLeast);
}

}  // namespace
}  // namespace skep::engine
