#include "engine/cpu_ceiling.h"

#include <gtest/gtest.h>

namespace skep::engine {
namespace {

using std::chrono::milliseconds;

// Steps of `step`, each on `threads` cores, for `time`. Returns the cores that were busy on average.
double busy_cores(CpuCeiling& ceiling, Duration step, int threads, Duration time) {
  ManualClock clock;
  clock.advance(milliseconds(1));
  double cpu = 0;
  (void)ceiling.used(cpu, clock.now());
  const TimePoint begin = clock.now();
  while (clock.now() - begin < time) {
    clock.advance(step);
    cpu += threads * seconds(step);
    clock.advance(ceiling.used(cpu, clock.now()));
  }
  return cpu / seconds(clock.now() - begin);
}

TEST(CpuCeiling, UseStaysUnderItHoweverLongStepsAre) {
  for (const Duration step : {Duration(milliseconds(2)), Duration(milliseconds(300)), Duration(milliseconds(1500))}) {
    CpuCeiling ceiling(0.8, 2);
    const double busy = busy_cores(ceiling, step, 2, std::chrono::seconds(30));
    EXPECT_LE(busy, 1.6 + 0.01) << seconds(step);
    EXPECT_GE(busy, 1.6 - 0.01) << "and no less is used than is allowed";
  }
}

TEST(CpuCeiling, WithoutOneNothingRests) {
  CpuCeiling ceiling(1, 2);
  EXPECT_FALSE(ceiling.limited());
  EXPECT_NEAR(busy_cores(ceiling, milliseconds(50), 2, std::chrono::seconds(5)), 2, 1e-9);
}

TEST(CpuCeiling, WhatWasNotUsedIsNotSavedUp) {
  CpuCeiling ceiling(0.5, 2);
  ManualClock clock;
  clock.advance(milliseconds(1));
  (void)ceiling.used(0, clock.now());
  clock.advance(std::chrono::minutes(10));
  (void)ceiling.used(0, clock.now());
  clock.advance(milliseconds(500));
  const Duration rest = ceiling.used(1, clock.now());
  EXPECT_GE(rest, milliseconds(399)) << "half a second on two cores of which one is allowed, less a burst";
}

TEST(CpuCeiling, WhatTheOthersUseIsTakenOffButAnEqualShareIsLeft) {
  CpuCeiling ceiling(0.8, 10);
  ceiling.others(0.5, 0, 0);
  EXPECT_DOUBLE_EQ(ceiling.allowed(), 7.5);
  ceiling.others(0, 7, 1);
  EXPECT_DOUBLE_EQ(ceiling.allowed(), 4) << "two engines: half of it, to which the other comes down as well";
  ceiling.others(1, 3, 1);
  EXPECT_DOUBLE_EQ(ceiling.allowed(), 4);
  ceiling.others(20, 0, 0);
  EXPECT_GT(ceiling.allowed(), 0);
}

TEST(CpuCeiling, FewerThreadsWhereMoreCouldNotBeBusy) {
  EXPECT_EQ(CpuCeiling(0.8, 2).most_threads(), 2);
  EXPECT_EQ(CpuCeiling(0.5, 2).most_threads(), 1);
  EXPECT_EQ(CpuCeiling(0.8, 16).most_threads(), 13);
  EXPECT_EQ(CpuCeiling(0.05, 1).most_threads(), 1);
}

}  // namespace
}  // namespace skep::engine
