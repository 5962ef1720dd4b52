// How many loads a trace of requests costs, against plain LRU and against the optimum that knows the future (Belady).

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>

#include "base/simulated_event_loop.h"
#include "model/fake_engine.h"
#include "model/residency.h"

namespace skep::model {
namespace {

using Trace = std::vector<int>;  // models, 0 to 2; two fit

// Loads when, on a miss with both places taken, `victim` says which of the two goes.
template <typename Victim>
int loads_of(const Trace& trace, const Victim& victim) {
  std::vector<int> resident;
  int loads = 0;
  for (size_t at = 0; at < trace.size(); ++at) {
    if (std::ranges::find(resident, trace[at]) != resident.end()) continue;
    ++loads;
    if (resident.size() == 2) std::erase(resident, victim(resident, at));
    resident.push_back(trace[at]);
  }
  return loads;
}

int lru(const Trace& trace) {
  return loads_of(trace, [&](const std::vector<int>& resident, size_t at) {
    for (std::set<int> seen; at-- > 0;) {
      if (std::ranges::find(resident, trace[at]) != resident.end()) seen.insert(trace[at]);
      if (seen.size() == resident.size()) return trace[at];
    }
    return resident.front();
  });
}

int belady(const Trace& trace) {
  return loads_of(trace, [&](const std::vector<int>& resident, size_t at) {
    auto next = [&](int model) {
      return std::find(trace.begin() + static_cast<std::ptrdiff_t>(at), trace.end(), model);
    };
    return *std::ranges::max_element(resident, {}, next);
  });
}

Duration always_a_second() { return std::chrono::seconds(1); }

// What the residency needs when requests come one after the other, `ahead` of them known to the queue.
int loads_by_residency(const Trace& trace, size_t ahead, const std::function<Duration()>& load_time = always_a_second) {
  SimulatedEventLoop loop;
  FakeFactory factory(loop);
  Residency residency(loop, {.budgets = {{"host", 200_MiB}}, .daemon_reserve = Bytes(0)});
  auto name = [](int model) { return std::string(1, static_cast<char>('a' + model)); };
  for (int model = 0; model < 3; ++model) {
    factory.scripts[name(model)] = {.memory = {{.device = "host", .weights = 100_MiB}}};
    residency.define(name(model), {.factory = &factory, .options = {.path = name(model)}, .keep_alive = kForever});
  }
  for (size_t at = 0; at < trace.size(); ++at) {
    std::vector<Residency::Demand> demand;
    for (size_t next = at; next < std::min(trace.size(), at + ahead); ++next) {
      auto known = std::ranges::find(demand, name(trace[next]), &Residency::Demand::model);
      if (known == demand.end())
        demand.push_back({name(trace[next]), 1});
      else
        ++known->tasks;
    }
    residency.set_demand(std::move(demand));
    for (auto& [model, script] : factory.scripts) script.load = load_time();
    bool answered = false;
    residency.acquire(name(trace[at]), [&](Result<Lease> lease) { answered = lease.has_value(); });
    for (loop.run_ready(); !answered;) loop.advance_to_next_timer();
    EXPECT_LE(factory.occupied, 200_MiB);
  }
  return static_cast<int>(residency.counters().loads);
}

TEST(ResidencyTraceTest, TakingTurnsBetweenThreeModels) {
  Trace trace;
  for (int at = 0; at < 200; ++at) trace.push_back(at % 3);
  ASSERT_EQ(lru(trace), 200) << "the worst case of LRU";
  int ours = loads_by_residency(trace, 0);
  EXPECT_LE(ours, 1.3 * belady(trace)) << "without any queue";
}

// A machine with other work: one load of the same file takes ten times another. Chance must not decide who goes.
TEST(ResidencyTraceTest, TakingTurnsWhileLoadTimesScatter) {
  Trace trace;
  for (int at = 0; at < 200; ++at) trace.push_back(at % 3);
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    auto scattered = [&]() -> Duration { return std::chrono::milliseconds(20 + random() % 180); };
    EXPECT_LE(loads_by_residency(trace, 0, scattered), 1.1 * belady(trace)) << seed;
  }
}

// The first of the files is read from a slow disk, and whatever is loaded later comes from memory. Its first load must
// not make it seem dear for ever.
TEST(ResidencyTraceTest, TakingTurnsAfterOneSlowFirstLoad) {
  Trace trace;
  for (int at = 0; at < 200; ++at) trace.push_back(at % 3);
  for (int slow_loads = 1; slow_loads <= 3; ++slow_loads) {
    int requests = 0;
    auto slow_first = [&]() -> Duration { return std::chrono::milliseconds(requests++ < 3 * slow_loads ? 4000 : 100); };
    EXPECT_LE(loads_by_residency(trace, 0, slow_first), 1.2 * belady(trace)) << slow_loads;
  }
}

TEST(ResidencyTraceTest, APatternThatRepeats) {
  Trace trace;
  for (int at = 0; at < 200; ++at) trace.push_back(std::vector<int>{0, 1, 0, 2, 1, 2}[static_cast<size_t>(at) % 6]);
  int ours = loads_by_residency(trace, 0);
  EXPECT_LE(ours, lru(trace));
  EXPECT_LE(ours, 1.3 * belady(trace));
}

TEST(ResidencyTraceTest, RandomRequestsWithAQueue) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    std::mt19937 random(seed);
    Trace trace;
    for (int at = 0; at < 200; ++at) trace.push_back(static_cast<int>(random() % 3));
    int ours = loads_by_residency(trace, 8);
    EXPECT_LE(ours, lru(trace)) << seed;
    EXPECT_LE(ours, 1.3 * belady(trace)) << seed;
  }
}

// Independent uses, one model twice as wanted as the others, and nothing known of the future: LRU is not beaten by
// much, but it must not be lost to.
TEST(ResidencyTraceTest, RandomRequestsWithoutAQueueCostNoMoreThanLru) {
  std::mt19937 random(3);
  Trace trace;
  for (int at = 0; at < 200; ++at) trace.push_back(std::vector<int>{0, 0, 1, 2}[random() % 4]);
  EXPECT_LE(loads_by_residency(trace, 0), lru(trace));
}

}  // namespace
}  // namespace skep::model
