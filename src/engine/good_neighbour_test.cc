#include "engine/good_neighbour.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <cerrno>

namespace skep::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

std::vector<int> own_cpus() { return CpuObserver().allowed(); }

int own_niceness() {
  errno = 0;
  return getpriority(PRIO_PROCESS, 0);
}

MachineSample crowded(double waited = 0.4) {
  MachineSample sample;
  sample.threads = {.waited = waited, .idle_cores = 0, .stepping = true};
  return sample;
}

Heartbeat report(const GoodNeighbour& neighbour) {
  Heartbeat heartbeat;
  neighbour.report(heartbeat);
  return heartbeat;
}

TEST(GoodNeighbour, SaysFromTheStartWhatItRunsOn) {
  GoodNeighbour neighbour(available_cores(), [](int) {});
  neighbour.look({});
  neighbour.urgent();
  const Heartbeat heartbeat = report(neighbour);
  EXPECT_EQ(heartbeat.threads, available_cores());
  EXPECT_FALSE(heartbeat.cpus.empty());
  EXPECT_EQ(heartbeat.policy_changes, 0);
  EXPECT_TRUE(heartbeat.changes.empty());
}

TEST(GoodNeighbour, StepsRunOnFewerThreadsBesideABusyProcessAndItSaysWhyAndWhen) {
  std::vector<int> asked;
  GoodNeighbour neighbour(4, [&](int threads) { asked.push_back(threads); });
  for (int i = 0; i < 2; ++i) neighbour.adapt(crowded(), false);
  EXPECT_THAT(asked, ElementsAre(3));
  const Heartbeat heartbeat = report(neighbour);
  EXPECT_EQ(heartbeat.threads, 3);
  ASSERT_EQ(heartbeat.changes.size(), 1U);
  EXPECT_EQ(heartbeat.policy_changes, 1);
  EXPECT_EQ(heartbeat.changes[0].setting, "threads");
  EXPECT_EQ(heartbeat.changes[0].to, "3");
  EXPECT_EQ(heartbeat.changes[0].why, "threads waited 40 % of their time for a core");
  EXPECT_GT(heartbeat.changes[0].when, 1'700'000'000'000);
}

TEST(GoodNeighbour, ItsThreadsKeepAwayFromACpuThatOthersTookAndComeBack) {
  const std::vector<int> all = own_cpus();
  if (all.size() < 2) GTEST_SKIP() << "one CPU";
  GoodNeighbour neighbour(1, [](int) {});
  MachineSample sample = crowded(0.05);
  for (const int cpu : all) sample.cpus.push_back({cpu, cpu == all.front() ? 0.9 : 0});
  for (int i = 0; i < AffinityPolicy::kIntervals; ++i) neighbour.adapt(sample, false);
  EXPECT_THAT(own_cpus(), ::testing::Not(::testing::Contains(all.front())));
  EXPECT_THAT(report(neighbour).changes, ElementsAre(Field(&PolicyChange::setting, "cpus")));
  for (CpuUse& use : sample.cpus) use.others = 0.9;
  for (int i = 0; i < AffinityPolicy::kBackIntervals; ++i) neighbour.adapt(sample, false);
  EXPECT_EQ(own_cpus(), all);
  EXPECT_EQ(report(neighbour).cpus, to_string(all));
}

TEST(GoodNeighbour, BackgroundWorkStepsBackAndComesForwardBeforeAnythingUrgent) {
  const int start = own_niceness();
  GoodNeighbour neighbour(1, [](int) {});
  for (int i = 0; i < NicenessPolicy::kIntervals; ++i) neighbour.adapt(crowded(), true);
  if (report(neighbour).niceness == start) GTEST_SKIP() << "this process may not lower its niceness again";
  EXPECT_EQ(own_niceness(), std::min(19, start + NicenessPolicy::kNicer));
  neighbour.urgent();
  EXPECT_EQ(own_niceness(), start);
  EXPECT_THAT(report(neighbour).changes,
              ElementsAre(Field(&PolicyChange::setting, "niceness"), Field(&PolicyChange::setting, "niceness")));
}

TEST(GoodNeighbour, ItTellsWhenThreadsSpinByAnotherOrder) {
  GoodNeighbour neighbour(2, [](int) {});
  neighbour.look({.tokens = 1, .took = std::chrono::milliseconds(1), .waits = Forward::Waits{{}, 4096}});
  neighbour.note_spin(4096, 0.1);
  neighbour.note_spin(2048, 0.1);
  EXPECT_TRUE(report(neighbour).changes.empty());
  neighbour.note_spin(1024, 0.25);
  ASSERT_EQ(report(neighbour).changes.size(), 1U);
  EXPECT_EQ(report(neighbour).changes[0].to, "1024");
  EXPECT_THAT(report(neighbour).changes[0].why, HasSubstr("25 %"));
  neighbour.note_spin(16'384, 0);
  EXPECT_EQ(report(neighbour).changes[1].why, "waits ended soon");
}

TEST(GoodNeighbour, ItRemembersTheLastFewChangesOnly) {
  GoodNeighbour neighbour(1, [](int) {});
  for (int i = 0; i < 20; ++i) neighbour.note_spin(i % 2 == 0 ? 64 : 16'384, 0);
  const Heartbeat heartbeat = report(neighbour);
  EXPECT_EQ(heartbeat.changes.size(), GoodNeighbour::kRemembered);
  EXPECT_EQ(heartbeat.policy_changes, 19);
}

}  // namespace
}  // namespace skep::engine
