#include "scheduling/fair_queue.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace skep::scheduling {
namespace {

FairQueue::Key key(int64_t id) { return {TimePoint(Duration(id)), static_cast<uint64_t>(id)}; }

TEST(FairQueue, AlternatesBetweenTwoAgentsWhateverTheirQueuesAre) {
  FairQueue queue;
  for (int i = 0; i < 10; ++i) queue.push("many", 1, key(i));
  queue.push("few", 1, key(100));
  queue.push("few", 1, key(101));
  std::string order;
  while (const auto front = queue.front()) {
    const std::string flow = front->second >= 100 ? "few" : "many";
    order += flow.front();
    queue.serve(flow, *front, 50);
  }
  EXPECT_EQ(order, "mfmfmmmmmmmm");
}

TEST(FairQueue, SharesByWeight) {
  FairQueue queue;
  for (int i = 0; i < 300; ++i) {
    queue.push("three", 3, key(i));
    queue.push("one", 1, key(1000 + i));
  }
  std::map<std::string, int> served;
  for (int i = 0; i < 200; ++i) {
    const auto front = queue.front();
    const std::string flow = front->second >= 1000 ? "one" : "three";
    ++served[flow];
    queue.serve(flow, *front, 10);
  }
  EXPECT_NEAR(served["three"], 150, 1);
}

TEST(FairQueue, AnAgentThatWasIdleGetsNoCreditForIt) {
  FairQueue queue;
  for (int i = 0; i < 200; ++i) queue.push("busy", 1, key(i));
  for (int i = 0; i < 100; ++i) queue.serve("busy", *queue.front(), 10);
  for (int i = 0; i < 50; ++i) queue.push("late", 1, key(1000 + i));
  int late = 0;
  for (int i = 0; i < 20; ++i) {
    const auto front = queue.front();
    const bool is_late = front->second >= 1000;
    late += is_late ? 1 : 0;
    queue.serve(is_late ? "late" : "busy", *front, 10);
  }
  EXPECT_NEAR(late, 10, 1);
}

TEST(FairQueue, WhatIsCancelledCostsNothing) {
  FairQueue queue;
  queue.push("a", 1, key(1));
  queue.push("a", 1, key(3));
  queue.push("b", 1, key(2));
  queue.serve("a", key(1), 10);
  queue.remove("b", key(2));
  queue.push("b", 1, key(4));
  EXPECT_EQ(queue.front(), key(4));
}

TEST(FairQueue, AnAgentPaysForWhatItReallyTook) {
  FairQueue queue;
  for (int i = 0; i < 10; ++i) {
    queue.push("a", 1, key(2 * i));
    queue.push("b", 1, key(2 * i + 1));
  }
  queue.serve("a", key(0), 10);
  queue.charge("a", 25);  // it took 35
  std::string order;
  for (int i = 0; i < 5; ++i) {
    const auto front = queue.front();
    const std::string flow = front->second % 2 == 0 ? "a" : "b";
    order += flow;
    queue.serve(flow, *front, 10);
  }
  EXPECT_EQ(order, "bbbba");
}

TEST(FairQueue, ForgetsAgentsThatAreIdle) {
  FairQueue queue;
  for (int i = 0; i < 20000; ++i) {
    queue.push("agent " + std::to_string(i), 1, key(2 * i));
    queue.push("always", 1, key(2 * i + 1));
    queue.serve("agent " + std::to_string(i), key(2 * i), 1);
    if (const auto front = queue.front()) queue.serve("always", *front, 1);
    queue.push("always", 1, key(100000 + i));
  }
  EXPECT_LT(queue.flows(), 400U);
}

// The bound in fair_queue.h for every pair of agents and every interval in which both have work.
TEST(FairQueue, KeepsTheFairnessBoundOnRandomTraces) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    const int flows = 2 + static_cast<int>(random() % 6);
    std::vector<double> weight, largest(static_cast<size_t>(flows), 0), served(static_cast<size_t>(flows), 0);
    std::vector<int> waiting(static_cast<size_t>(flows), 0);
    std::map<uint64_t, size_t> owner;
    for (int f = 0; f < flows; ++f) weight.push_back(0.5 + static_cast<double>(random() % 8));
    // since[f][g]: served[f], served[g] when both began to have work together.
    struct Since {
      bool both = false;
      double f = 0, g = 0;
    };
    std::vector<std::vector<Since>> since(static_cast<size_t>(flows), std::vector<Since>(static_cast<size_t>(flows)));
    FairQueue queue;
    int64_t next = 1;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 2 == 0 || queue.empty()) {
        const size_t f = random() % static_cast<size_t>(flows);
        queue.push(std::to_string(f), weight[f], key(next));
        owner[static_cast<uint64_t>(next)] = f;
        ++waiting[f];
        ++next;
      } else {
        const auto front = *queue.front();
        const size_t f = owner[front.second];
        const double cost = 1 + static_cast<double>(random() % 100);
        largest[f] = std::max(largest[f], cost);
        queue.serve(std::to_string(f), front, cost);
        served[f] += cost;
        --waiting[f];
      }
      for (size_t f = 0; f < waiting.size(); ++f) {
        for (size_t g = 0; g < f; ++g) {
          Since& pair = since[f][g];
          const bool both = waiting[f] > 0 && waiting[g] > 0;
          if (both && !pair.both) pair = {true, served[f], served[g]};
          pair.both = both;
          if (!both) continue;
          const double gap = std::abs((served[f] - pair.f) / weight[f] - (served[g] - pair.g) / weight[g]);
          ASSERT_LE(gap, largest[f] / weight[f] + largest[g] / weight[g] + 1e-9) << "seed " << seed << " step " << step;
        }
      }
    }
  }
}

}  // namespace
}  // namespace skep::scheduling
