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

// The definition, agent by agent, without any sums that are kept.
class ByDefinition {
 public:
  explicit ByDefinition(const Population& population)
      : population_(population), group_(population.capacity()), last_(population.capacity()) {}
  std::vector<uint32_t>& group() { return group_; }

  // `full`: everybody was counted anew. Summaries by group, and of all last.
  std::vector<CollectiveSummary> update(uint32_t groups, bool full) {
    const size_t states = population_.belief_size();
    std::vector<CollectiveSummary> out(groups + 1);
    std::vector<std::vector<double>> sums(groups + 1, std::vector<double>(states));
    for (uint32_t slot = 0; slot < population_.capacity(); ++slot) {
      Last& last = last_[slot];
      const bool present = population_.occupied(slot);
      if (!present) {
        last.present = false;
        continue;
      }
      std::vector<double> q(states);
      population_.copy_belief(slot, q);
      const auto F = static_cast<double>(population_.free_energy()[slot]);
      double distance = 0, entropy = 0;
      for (size_t s = 0; s < states; ++s) {
        distance += last.present ? std::abs(q[s] - last.belief[s]) / 2 : 1;
        entropy -= q[s] > 0 ? q[s] * std::log(q[s]) : 0;
      }
      const bool moved = !last.present || last.id != population_.at(slot) || last.group != group_[slot] ||
                         distance > 0.01 || std::abs(F - last.free_energy) > 0.01;
      if (moved || full) last = {true, population_.at(slot), group_[slot], q, F};
      for (const uint32_t g : {last.group, groups}) {
        ++out[g].agents;
        out[g].free_energy += F;
        out[g].entropy += entropy;
        out[g].activity += moved ? 1 : 0;
        for (size_t s = 0; s < states; ++s) sums[g][s] += q[s];
      }
    }
    for (uint32_t g = 0; g <= groups; ++g) {
      const auto n = static_cast<double>(out[g].agents);
      if (n == 0) continue;
      double of_mean = 0;
      for (double p : sums[g]) of_mean -= p > 0 ? p / n * std::log(p / n) : 0;
      out[g].free_energy /= n;
      out[g].entropy /= n;
      out[g].activity /= n;
      out[g].agreement = 1 - (of_mean - out[g].entropy) / std::log(static_cast<double>(states));
    }
    return out;
  }

 private:
  struct Last {
    bool present = false;
    AgentId id;
    uint32_t group = 0;
    std::vector<double> belief;
    double free_energy = 0;
  };
  const Population& population_;
  std::vector<uint32_t> group_;
  std::vector<Last> last_;
};

TEST(CollectiveState, IncrementallyItStaysWithinItsBoundOfTheFullComputation) {
  auto pool = kernel::ThreadPool::create(2, kernel::Pinning::never);
  const auto model = random_model({.states = {12}, .observations = {6}, .controls = {3}}, 2);
  auto population = population_of(model, 800, *pool);
  CollectiveState incremental(*population, 5);
  ByDefinition definition(*population);
  for (uint32_t i = 0; i < 800; ++i) {
    incremental.assign(i, i % 5);
    definition.group()[i] = i % 5;
  }
  incremental.update();
  definition.update(5, true);
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
    for (int k = 0; k < 3; ++k) {
      const uint32_t who = random.below(800), where = random.below(5);
      incremental.assign(who, where);
      definition.group()[who] = where;
    }
    const size_t counted = incremental.update();
    if (!incremental.last_was_full()) {
      ++partial;
      EXPECT_LE(counted, 240u);
    }
    const auto expected = definition.update(5, incremental.last_was_full());
    for (uint32_t g = 0; g <= 5; ++g) {
      const CollectiveSummary& found = g == 5 ? incremental.whole() : incremental.group(g);
      EXPECT_EQ(found.agents, expected[g].agents) << "step " << t << ", group " << g;
      EXPECT_NEAR(found.activity, expected[g].activity, 1e-12) << "step " << t << ", group " << g;
      EXPECT_NEAR(found.free_energy, expected[g].free_energy, 0.01 + 1e-9);
      EXPECT_NEAR(found.entropy, expected[g].entropy, incremental.error_bound());
      EXPECT_NEAR(found.agreement, expected[g].agreement, incremental.error_bound());
    }
    EXPECT_EQ(incremental.whole().agents, population->size());
    CollectiveState full(*population, 1);
    full.update_full();
    EXPECT_NEAR(full.whole().free_energy, expected[5].free_energy, 1e-9);
    EXPECT_NEAR(full.whole().entropy, expected[5].entropy, 1e-9);
    EXPECT_NEAR(full.whole().agreement, expected[5].agreement, 1e-9);
  }
  EXPECT_GT(partial, 20);
  EXPECT_LT(partial, 30) << "the 30 % rule was never needed";
  EXPECT_LT(incremental.error_bound(), 0.1);
}

TEST(CollectiveState, ABeliefHasAnotherVersionAfterWhateverChangesIt) {
  auto pool = kernel::ThreadPool::create(1);
  const auto model = random_model({.states = {4}, .observations = {3}, .controls = {2}}, 5);
  auto population = population_of(model, 3, *pool);
  std::vector<uint64_t> seen;
  const auto changed = [&] {
    std::vector<uint64_t> now;
    for (uint32_t slot = 0; slot < 3; ++slot) now.push_back(population->belief_version(slot));
    std::vector<uint32_t> slots;
    for (uint32_t slot = 0; slot < 3 && !seen.empty(); ++slot)
      if (now[slot] != seen[slot]) slots.push_back(slot);
    seen = now;
    return slots;
  };
  using Slots = std::vector<uint32_t>;
  changed();
  ASSERT_TRUE(population->step(std::vector<uint16_t>{0, 1, 2}).has_value());
  EXPECT_EQ(changed(), (Slots{0, 1, 2}));
  ASSERT_TRUE(population->step_some(Slots{1}, std::vector<uint16_t>{2}).has_value());
  EXPECT_EQ(changed(), Slots{1});
  ASSERT_TRUE(population->set_belief(2, std::vector<double>{1, 0, 0, 0}).has_value());
  EXPECT_EQ(changed(), Slots{2});
  population->set_action(0, 1);
  EXPECT_EQ(changed(), Slots{});
  ASSERT_TRUE(population->remove(population->at(0)).has_value());
  ASSERT_TRUE(population->add().has_value());
  EXPECT_EQ(changed(), Slots{0});
}

}  // namespace
}  // namespace skep::belief
