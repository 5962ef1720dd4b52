#include "engine/good_neighbour.h"

#include <gtest/gtest.h>

namespace skep::engine {
namespace {

TEST(GoodNeighbour, SaysFromTheStartWhatItRunsOn) {
  GoodNeighbour neighbour(available_cores(), [](int) {});
  neighbour.look(Duration(0), false);
  neighbour.urgent();
  Heartbeat heartbeat;
  neighbour.report(heartbeat);
  EXPECT_EQ(heartbeat.threads, available_cores());
  EXPECT_FALSE(heartbeat.cpus.empty());
  EXPECT_EQ(heartbeat.policy_changes, 0);
  EXPECT_TRUE(heartbeat.changes.empty());
}

}  // namespace
}  // namespace skep::engine
