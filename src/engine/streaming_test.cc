#include "engine/streaming.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/worker_environment.h"

namespace skep::engine {
namespace {

MemoryUse host(Bytes weights) { return {.weights = weights, .kv = 100_MiB, .compute = 100_MiB}; }

TEST(Streaming, AModelThatFitsIsNotStreamed) { EXPECT_FALSE(plan_streaming(host(800_MiB), 1000_MiB)); }

TEST(Streaming, WhatIsNotWeightsIsInMemoryAndTheRestOfTheRoomIsWeights) {
  const auto plan = plan_streaming(host(2000_MiB), 1000_MiB);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->weights, 2000_MiB);
  EXPECT_EQ(plan->resident, 550_MiB);  // three quarters of the budget, less 200
}

TEST(Streaming, OthersGetNoRoomWhereTooLittleIsLeft) {
  const auto plan = plan_streaming(host(6000_MiB), 1000_MiB);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->resident, 600_MiB);  // a tenth of them, more than 550
}

TEST(Streaming, ContextsThatDontFitAreNoReasonToStream) {
  EXPECT_FALSE(plan_streaming({.weights = 2100_MiB, .kv = 2500_MiB, .compute = 100_MiB}, 4000_MiB));
}

TEST(Streaming, TooLittleRoomIsRefusedAsBefore) {
  EXPECT_FALSE(plan_streaming(host(2000_MiB), 200_MiB));     // nothing left for weights
  EXPECT_FALSE(plan_streaming(host(20'000_MiB), 1000_MiB));  // 4 % of them
}

TEST(Streaming, TheBudgetStandsInTheEnvironment) {
  ::unsetenv(kHostBudgetVariable);
  EXPECT_FALSE(host_budget());
  ::setenv(kHostBudgetVariable, "1048576", 1);
  EXPECT_EQ(host_budget(), 1_MiB);
  ::setenv(kHostBudgetVariable, "nonsense", 1);
  EXPECT_FALSE(host_budget());
  ::unsetenv(kHostBudgetVariable);
}

TEST(Streaming, TheRateIsTheDisksOverWhatEveryTokenReads) {
  Streaming streaming{2000_MiB, 800_MiB, 0};
  EXPECT_EQ(streaming.tokens_per_second(), 0);  // not known
  streaming.disk_bytes_per_second = static_cast<double>((1440_MiB).count);
  EXPECT_NEAR(streaming.tokens_per_second(), 1.0, 1e-6);  // 2000 − 0.7 · 800
}

TEST(Streaming, TheDiskIsMeasuredOnTheFileItself) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("skep-rate-{}", ::getpid());
  std::ofstream(path, std::ios::binary) << std::string(4 << 20, 'x');
  const auto rate = measure_read_rate(path.string());
  std::filesystem::remove(path);
  ASSERT_TRUE(rate) << rate.error().text();
  EXPECT_GT(*rate, 1e5);
  EXPECT_FALSE(measure_read_rate("/no/such/file"));
}

}  // namespace
}  // namespace skep::engine
