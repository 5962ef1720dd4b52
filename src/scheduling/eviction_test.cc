#include "scheduling/eviction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <random>
#include <set>

#include "scheduling/next_use.h"

namespace skep::scheduling {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Candidate candidate(const std::string& model, int64_t gib, int reload, double chance) {
  return {.model = model, .bytes = Bytes(gib << 30), .reload_cost = seconds(reload), .chance = chance};
}

TEST(Eviction, TakesTheLeastValuable) {
  const std::vector<Candidate> engines = {candidate("a", 1, 4, 0.5), candidate("b", 1, 4, 0.1),
                                          candidate("c", 1, 4, 0.3)};
  EXPECT_THAT(*choose_victims(engines, 1_GiB), ElementsAre(1));
  EXPECT_THAT(*choose_victims(engines, Bytes((3LL << 30) / 2)), ElementsAre(1, 2));
  EXPECT_THAT(*choose_victims(engines, 0_B), IsEmpty());
}

TEST(Eviction, SparesWhatIsDearToReload) {
  const std::vector<Candidate> engines = {candidate("slow", 1, 40, 0.1), candidate("quick", 1, 4, 0.5)};
  EXPECT_THAT(*choose_victims(engines, 1_GiB), ElementsAre(1));
}

TEST(Eviction, ChoosesTheSetWithTheLeastLossNotTheSmallestValuePerByte) {
  // By value per byte the large one goes first; the small one is enough and loses less.
  const std::vector<Candidate> engines = {candidate("large", 8, 16, 0.25), candidate("small", 1, 3, 0.5)};
  EXPECT_LT(value(engines[0]), value(engines[1]));
  EXPECT_THAT(*choose_victims(engines, 1_GiB), ElementsAre(1));
  EXPECT_THAT(*choose_victims(engines, 2_GiB), ElementsAre(0));
}

TEST(Eviction, SaysWhenAllTogetherAreTooSmall) {
  const std::vector<Candidate> engines = {candidate("a", 1, 4, 0.5), candidate("b", 1, 4, 0.1)};
  EXPECT_FALSE(choose_victims(engines, 3_GiB));
  EXPECT_TRUE(choose_victims(engines, 2_GiB));
  EXPECT_FALSE(choose_victims({}, 1_B));
}

TEST(Eviction, WithManyCandidatesStillFreesEnoughAndNothingInVain) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<Candidate> engines;
    Bytes all;
    for (int i = 0; i < 40; ++i) {
      engines.push_back(candidate("m", 1 + static_cast<int64_t>(random() % 8), 1 + static_cast<int>(random() % 20),
                                  static_cast<double>(random() % 100) / 100));
      all += engines.back().bytes;
    }
    const Bytes needed(static_cast<int64_t>(random()) % all.count + 1);
    const auto victims = choose_victims(engines, needed);
    ASSERT_TRUE(victims);
    Bytes freed;
    for (const size_t i : *victims) freed += engines[i].bytes;
    ASSERT_GE(freed, needed);
    for (const size_t i : *victims) ASSERT_LT(freed - engines[i].bytes, needed) << "evicted in vain";
  }
}

TEST(Eviction, WhatWaitsInTheQueueIsCertainAndTheRestComesAfterIt) {
  EXPECT_EQ(chance_of_use(50, 0, 3), 1);
  EXPECT_EQ(chance_of_use(1, 3, 3), 0.25);
  EXPECT_EQ(chance_of_use(2, std::nullopt, 3), 0.2);
  EXPECT_EQ(chance_of_use(std::numeric_limits<double>::infinity(), std::nullopt, 0), 0);
}

// ------------------------------------------------------------------------------- simulations against LRU and Belady

using Visits = std::vector<int>;

// Loads of `slots` equal engines on the trace; `evict(resident, at)` names the victim.
template <typename Evict>
int loads(const Visits& trace, size_t slots, Evict evict) {
  std::set<int> resident;
  int count = 0;
  for (size_t at = 0; at < trace.size(); ++at) {
    if (!resident.contains(trace[at])) {
      ++count;
      if (resident.size() >= slots) resident.erase(evict(resident, at));
      resident.insert(trace[at]);
    }
  }
  return count;
}

int lru(const Visits& trace, size_t slots) {
  return loads(trace, slots, [&](const std::set<int>& resident, size_t at) {
    std::set<int> left = resident;
    for (size_t i = at; i-- > 0 && left.size() > 1;) left.erase(trace[i]);
    return *left.begin();
  });
}

// The offline optimum for equal sizes and costs: evict what is used farthest in the future.
int belady(const Visits& trace, size_t slots) {
  return loads(trace, slots, [&](const std::set<int>& resident, size_t at) {
    std::set<int> left = resident;
    for (size_t i = at; i < trace.size() && left.size() > 1; ++i) left.erase(trace[i]);
    return *left.begin();
  });
}

// Ours, with a queue of `ahead` tasks known.
int ours(const Visits& trace, size_t slots, size_t ahead) {
  NextUse next(Bytes(static_cast<int64_t>(slots) << 30));
  size_t seen = 0;
  const auto name = [](int model) { return std::string(1, static_cast<char>('A' + model)); };
  return loads(trace, slots, [&](const std::set<int>& resident, size_t at) {
    for (; seen < at; ++seen) next.used(name(trace[seen]), 1_GiB, seconds(2));
    std::vector<Candidate> engines;
    const size_t end = std::min(trace.size(), at + 1 + ahead);
    for (const int model : resident) {
      const auto queued = std::find(trace.begin() + static_cast<std::ptrdiff_t>(at),
                                    trace.begin() + static_cast<std::ptrdiff_t>(end), model);
      std::optional<int> position;
      if (queued - trace.begin() < static_cast<std::ptrdiff_t>(end)) {
        position = static_cast<int>(queued - trace.begin() - static_cast<std::ptrdiff_t>(at));
      }
      engines.push_back(candidate(name(model), 1, 2,
                                  chance_of_use(next.distance(name(model)), position, static_cast<int>(end - at))));
    }
    const auto victims = choose_victims(engines, 1_GiB);
    return engines.at(victims->at(0)).model[0] - 'A';
  });
}

Visits repeated(const std::string& pattern, size_t length) {
  Visits trace;
  for (size_t i = 0; i < length; ++i) trace.push_back(pattern[i % pattern.size()] - 'A');
  return trace;
}

Visits independent(const std::vector<double>& weights, size_t length, uint32_t seed) {
  std::mt19937 random(seed);
  std::discrete_distribution<int> draw(weights.begin(), weights.end());
  Visits trace;
  for (size_t i = 0; i < length; ++i) trace.push_back(draw(random));
  return trace;
}

// Phases of 50 to 100 uses; each works with three of eight models.
Visits phases(size_t length, uint32_t seed) {
  std::mt19937 random(seed);
  Visits trace;
  while (trace.size() < length) {
    Visits set = {0, 1, 2, 3, 4, 5, 6, 7};
    std::shuffle(set.begin(), set.end(), random);
    for (size_t i = 50 + random() % 50; i > 0 && trace.size() < length; --i) trace.push_back(set[random() % 3]);
  }
  return trace;
}

// Three models at random, never the same twice in a row.
Visits random_alternation(size_t length, uint32_t seed) {
  std::mt19937 random(seed);
  Visits trace = {0};
  while (trace.size() < length) trace.push_back((trace.back() + 1 + static_cast<int>(random() % 2)) % 3);
  return trace;
}

Visits bursts(size_t length, uint32_t seed) {
  std::mt19937 random(seed);
  Visits trace;
  for (int model = 0; trace.size() < length; model = (model + 1) % 4) {
    for (size_t i = 1 + random() % 6; i > 0 && trace.size() < length; --i) trace.push_back(model);
  }
  return trace;
}

struct Row {
  const char* name;
  Visits trace;
  size_t slots, ahead;
  double most_of_lru, most_of_optimum;  // the bars
};

TEST(Eviction, NeedsFewLoadsOnManyTraces) {
  const std::vector<Row> rows = {
      // The acceptance traces: three models of which two fit, 200 requests.
      {"cycle ABC", repeated("ABC", 200), 2, 0, 1, 1.3},
      {"ABAC", repeated("ABAC", 200), 2, 0, 1, 1.3},
      {"ABCB", repeated("ABCB", 200), 2, 0, 1, 1.3},
      {"AABBCC", repeated("AABBCC", 200), 2, 0, 1, 1.3},
      {"ABCACB", repeated("ABCACB", 200), 2, 0, 1, 1.3},
      {"ABCCBA", repeated("ABCCBA", 200), 2, 0, 1, 1.3},
      {"random, never twice", random_alternation(200, 1), 2, 0, 1.05, 2},
      {"random, 4 queued", random_alternation(200, 1), 2, 4, 1, 1.3},
      {"random, 8 queued", random_alternation(200, 2), 2, 8, 1, 1.1},
      {"cycle of 7, 4 fit", repeated("ABCDEFG", 500), 4, 0, 0.6, 1.3},
      {"cycle of 7, 4 queued", repeated("ABCDEFG", 500), 4, 4, 0.6, 1.3},
      {"period of 13", repeated("ABACADABEACBD", 600), 3, 0, 0.8, 1.3},
      {"zipf, 3 of 8 fit", independent({1, 1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8}, 2000, 3), 3, 0, 1,
       2},
      {"zipf, 8 queued", independent({1, 1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8}, 2000, 4), 3, 8, 0.8,
       1.3},
      {"uniform, 2 of 3 fit", independent({1, 1, 1}, 2000, 5), 2, 0, 1.05, 2},
      {"phases", phases(2000, 6), 3, 0, 1.25, 2},
      {"phases, 8 queued", phases(2000, 7), 3, 8, 1, 1.3},
      {"bursts in turn", bursts(2000, 8), 3, 0, 0.6, 1.3},
  };
  std::printf("%-24s %6s %6s %6s %6s %7s %7s\n", "trace", "ours", "LRU", "Belady", "queue", "of LRU", "of opt.");
  for (const Row& row : rows) {
    const int mine = ours(row.trace, row.slots, row.ahead);
    const int lru_loads = lru(row.trace, row.slots);
    const int best = belady(row.trace, row.slots);
    std::printf("%-24s %6d %6d %6d %6zu %7.2f %7.2f\n", row.name, mine, lru_loads, best, row.ahead,
                static_cast<double>(mine) / lru_loads, static_cast<double>(mine) / best);
    EXPECT_LE(mine, row.most_of_lru * lru_loads) << row.name;
    EXPECT_LE(mine, row.most_of_optimum * best) << row.name;
    EXPECT_GE(mine, best) << row.name << ": the optimum is none";
  }
}

// Whatever repeats, with three models of which two fit: at most the loads of LRU, and near the optimum.
TEST(Eviction, IsNeverWorseThanLruOnRepeatingPatternsOfThreeModels) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::string pattern;
    for (size_t i = 3 + random() % 8; i > 0; --i) pattern += static_cast<char>('A' + random() % 3);
    const Visits trace = repeated(pattern, 200);
    EXPECT_LE(ours(trace, 2, 0), lru(trace, 2)) << pattern;
    EXPECT_LE(ours(trace, 2, 0), 1.3 * belady(trace, 2)) << pattern;
  }
}

}  // namespace
}  // namespace skep::scheduling
