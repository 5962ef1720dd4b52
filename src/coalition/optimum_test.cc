#include "coalition/optimum.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/random.h"
#include "coalition/local_search.h"

namespace skep::coalition {
namespace {

std::vector<Links::Edge> random_edges(size_t agents, double density, Random& random) {
  std::vector<Links::Edge> edges;
  for (Rank a = 0; a < agents; ++a)
    for (Rank b = a + 1; b < agents; ++b)
      if (random.uniform() < density) edges.push_back({a, b, static_cast<float>(random.uniform(-0.3, 1))});
  return edges;
}

// Every partition, by deciding for each agent in turn which coalition it joins.
double best_by_enumeration(std::span<const double> value_of, size_t agents, size_t agent,
                           std::vector<uint32_t>& parts) {
  if (agent == agents) {
    double sum = 0;
    for (const uint32_t part : parts) sum += value_of[part];
    return sum;
  }
  double best = -1e300;
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i] |= 1U << agent;
    best = std::max(best, best_by_enumeration(value_of, agents, agent + 1, parts));
    parts[i] &= ~(1U << agent);
  }
  parts.push_back(1U << agent);
  best = std::max(best, best_by_enumeration(value_of, agents, agent + 1, parts));
  parts.pop_back();
  return best;
}

TEST(Optimum, EqualsEnumerationOfAllPartitions) {
  Random random(11);
  for (int instance = 0; instance < 20; ++instance) {
    const auto edges = random_edges(7, 0.5, random);
    const auto values = value_table(7, edges, nullptr, {}).value();
    const auto found = optimum(values).value();
    std::vector<uint32_t> parts;
    EXPECT_NEAR(found.value, best_by_enumeration(values, 7, 0, parts), 1e-9);
    double sum = 0;
    uint32_t all = 0;
    for (const uint32_t part : found.coalitions) {
      EXPECT_EQ(all & part, 0U);
      all |= part;
      sum += values[part];
    }
    EXPECT_EQ(all, 127U);
    EXPECT_NEAR(sum, found.value, 1e-9);
  }
}

TEST(Optimum, RefusesMoreThanTwentyAgents) {
  EXPECT_FALSE(value_table(21, {}, nullptr, {}));
  EXPECT_FALSE(optimum(std::vector<double>(3)));
}

TEST(LocalSearch, WithKicksReachesTheOptimumOfSmallGamesNearlyAlways) {
  Random random(12);
  int exact = 0;
  constexpr int instances = 60;
  for (int instance = 0; instance < instances; ++instance) {
    const size_t agents = 8 + static_cast<size_t>(instance) % 5;
    const auto edges = random_edges(agents, 0.2 + 0.1 * (instance % 5), random);
    const auto best = optimum(value_table(agents, edges, nullptr, {}).value()).value();
    Links links;
    links.rebuild(agents, edges);
    std::vector<Agent> ids(agents);
    std::iota(ids.begin(), ids.end(), 0);
    State state;
    state.reset(links, {}, ids);
    LocalSearch search;
    search.begin(state, 0, static_cast<Rank>(agents), 1'000'000);
    search.form();
    EXPECT_GE(state.total(), 0.75 * best.value);
    for (int i = 0; i < 60; ++i) search.kick(random.below(static_cast<uint32_t>(agents)), random);
    search.settle(ids);
    EXPECT_NEAR(state.total(), search.gained(), 1e-6);
    EXPECT_LE(state.total(), best.value + 1e-6);
    EXPECT_GE(state.total(), 0.93 * best.value - 1e-9);
    exact += state.total() >= best.value - 1e-6 ? 1 : 0;
  }
  EXPECT_GE(exact, instances * 9 / 10);
}

TEST(LocalSearch, SetValuesAreKeptExactThroughAllMoves) {
  Random random(13);
  const auto edges = random_edges(12, 0.6, random);
  const ValueFunction value{nullptr,
                            set_value([](std::span<const Agent> members) {
                              double sum = 0;
                              for (const Agent member : members) sum += member % 3 == 0 ? 1.5 : -0.2;
                              return std::min(sum, 2.0);
                            }),
                            {}};
  const auto best = optimum(value_table(12, edges, value.set.get(), value.cost).value()).value();
  Links links;
  links.rebuild(12, edges);
  std::vector<Agent> ids(12);
  std::iota(ids.begin(), ids.end(), 0);
  State state;
  state.reset(links, value, ids);
  LocalSearch search;
  const double before = state.total();
  search.begin(state, 0, 12, 1'000'000);
  search.form();
  for (int i = 0; i < 100; ++i) search.kick(random.below(12), random);
  search.settle(ids);
  EXPECT_NEAR(state.total(), before + search.gained(), 1e-9);
  EXPECT_LE(state.total(), best.value + 1e-9);
  EXPECT_GE(state.total(), 0.9 * best.value);
}

}  // namespace
}  // namespace skep::coalition
