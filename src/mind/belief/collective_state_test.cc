#include "mind/belief/collective_state.h"

#include <gtest/gtest.h>

#include <cmath>

#include "mind/belief/random_model.h"

namespace skep::belief {
namespace {

std::unique_ptr<Population> population_of(const GenerativeModel& model, uint32_t agents, kernel::ThreadPool& pool) {
  PopulationOptions options;
  options.capacity = agents;
  auto population = Population::create(model, options, pool).value();
  for (uint32_t i = 0; i < agents; ++i) EXPECT_TRUE(population->add().has_value());
  return population;
}

TEST(CollectiveState, OfKnownBeliefsIsWhatItsDefinitionSays) {
  auto pool = kernel::ThreadPool::create(1);
  const auto model = random_model({.states = {2}, .observations = {2}, .controls = {1}}, 1);
  auto population = population_of(model, 4, *pool);
  for (uint32_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(population->set_belief(i, i < 2 ? std::vector<double>{1, 0} : std::vector<double>{0, 1}).has_value());
  }
  CollectiveState state(*population, 2);
  state.assign(2, 1);
  state.assign(3, 1);
  state.update();
  EXPECT_EQ(state.whole().agents, 4u);
  EXPECT_NEAR(state.whole().entropy, 0, 1e-12);
  EXPECT_NEAR(state.whole().agreement, 0, 1e-12) << "two camps that are sure of opposites";
  EXPECT_NEAR(state.group(0).agreement, 1, 1e-12);
  EXPECT_NEAR(state.group(1).agreement, 1, 1e-12);
  EXPECT_EQ(state.whole().activity, 1) << "all are new";
  state.update();
  EXPECT_EQ(state.whole().activity, 0);
}

TEST(CollectiveState, IncrementallyItStaysWithinItsBoundOfTheFullComputation) {
  auto pool = kernel::ThreadPool::create(2, kernel::Pinning::never);
  const auto model = random_model({.states = {12}, .observations = {6}, .controls = {3}}, 2);
  auto population = population_of(model, 800, *pool);
  CollectiveState incremental(*population, 5);
  for (uint32_t i = 0; i < 800; ++i) incremental.assign(i, i % 5);
  incremental.update();
  EXPECT_TRUE(incremental.last_was_full());
  Random random(3);
  int partial = 0;
  for (int t = 0; t < 30; ++t) {
    // Some agents get news, a few drift by less than the threshold, some leave and come.
    std::vector<uint32_t> slots;
    std::vector<uint16_t> observations;
    const uint32_t every = t % 10 == 9 ? 2 : 7;
    for (uint32_t i = random.below(every); i < 800; i += every) {
      if (!population->occupied(i)) continue;
      slots.push_back(i);
      observations.push_back(static_cast<uint16_t>(random.below(6)));
    }
    ASSERT_TRUE(population->step_some(slots, observations).has_value());
    for (uint32_t i = 0; i < 800; i += 11) {
      if (!population->occupied(i)) continue;
      std::vector<double> q(12);
      population->copy_belief(i, q);
      const double shift = std::min(0.004, q[0]);
      q[0] -= shift;
      q[1] += shift;
      ASSERT_TRUE(population->set_belief(i, q).has_value());
    }
    const uint32_t slot = random.below(800);
    if (population->occupied(slot)) {
      ASSERT_TRUE(population->remove(population->at(slot)).has_value());
    } else {
      ASSERT_TRUE(population->add().has_value());
    }
    incremental.assign(random.below(800), random.below(5));
    const size_t counted = incremental.update();
    if (!incremental.last_was_full()) {
      ++partial;
      EXPECT_LE(counted, 240u);
    }
    CollectiveState full(*population, 1);
    full.update_full();
    EXPECT_EQ(incremental.whole().agents, population->size());
    EXPECT_NEAR(incremental.whole().free_energy, full.whole().free_energy, 0.01 + 1e-9);
    EXPECT_NEAR(incremental.whole().entropy, full.whole().entropy, incremental.error_bound());
    EXPECT_NEAR(incremental.whole().agreement, full.whole().agreement, incremental.error_bound());
  }
  EXPECT_GT(partial, 20);
  EXPECT_LT(partial, 30) << "the 30 % rule was never needed";
  EXPECT_LT(incremental.error_bound(), 0.1);
}

}  // namespace
}  // namespace skep::belief
