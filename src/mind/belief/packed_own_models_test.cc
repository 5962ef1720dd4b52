// Populations whose own models lie in bfloat16, beside the same with full ones.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernel/bfloat16.h"
#include "kernel/packed_own_kernels.h"
#include "mind/belief/population.h"
#include "mind/belief/random_model.h"

namespace skep::belief {
namespace {

using kernel::Pinning;
using kernel::ThreadPool;

constexpr uint32_t kAgents = 60;

RandomModel shape_of(double mixing) {
  return {.states = {13}, .observations = {7, 4}, .controls = {3}, .policy_length = 2, .mixing = mixing};
}

// Every agent has another model.
std::unique_ptr<Population> make(const RandomModel& shape, PopulationOptions options, ThreadPool& pool) {
  options.capacity = kAgents;
  options.own_models = true;
  options.keep_policies = true;
  auto population = Population::create(random_model(shape, 1), options, pool).value();
  for (uint32_t i = 0; i < kAgents; ++i) {
    const uint32_t slot = population->add().value().slot;
    const auto own = random_model(shape, 100 + i);
    if (i % 4 != 0) {
      EXPECT_TRUE(population->set_own_model(slot, own.A, own.B).has_value());
    }
  }
  return population;
}

std::unique_ptr<Population> make(const RandomModel& shape, ModelStorage storage, ThreadPool& pool) {
  PopulationOptions options;
  options.own_storage = storage;
  return make(shape, options, pool);
}

std::vector<uint16_t> observations_of(Random& random, const GenerativeModel& model) {
  std::vector<uint16_t> observations;
  for (uint32_t i = 0; i < kAgents; ++i) {
    for (int n : model.num_obs) {
      observations.push_back(random.below(5) == 0 ? kNotObserved
                                                  : static_cast<uint16_t>(random.below(static_cast<uint32_t>(n))));
    }
  }
  return observations;
}

double distance(const Population& a, const Population& b, uint32_t slot) {
  std::vector<double> p(a.belief_size()), q(p.size());
  a.copy_belief(slot, p);
  b.copy_belief(slot, q);
  double error = 0;
  for (size_t s = 0; s < p.size(); ++s) error += std::abs(p[s] - q[s]);
  return error;
}

TEST(PackedOwnModels, BeliefsStayWithinTheirBoundAndPlansAreNear) {
  auto pool = ThreadPool::create(2, Pinning::never);
  auto full = make(shape_of(0), ModelStorage::full, *pool);
  auto packed = make(shape_of(0), ModelStorage::bfloat16, *pool);
  EXPECT_NE(packed->backend().find("bfloat16"), std::string::npos);
  Random random(2);
  double largest = 0;
  for (int t = 0; t < 10; ++t) {
    const auto observations = observations_of(random, full->model());
    std::vector<uint16_t> actions(full->actions().begin(), full->actions().end());
    packed->set_actions(actions);
    ASSERT_TRUE(full->step(observations).has_value());
    ASSERT_TRUE(packed->step(observations).has_value());
    for (uint32_t i = 0; i < kAgents; ++i) {
      const double error = distance(*full, *packed, i);
      ASSERT_LE(error, packed->error_bound(i) + 1e-5) << "agent " << i << ", step " << t;
      largest = std::max(largest, error);
      ASSERT_NEAR(full->free_energy()[i], packed->free_energy()[i], 0.1);
      for (size_t p = 0; p < full->neg_efe(i).size(); ++p) ASSERT_NEAR(full->neg_efe(i)[p], packed->neg_efe(i)[p], 0.1);
    }
  }
  EXPECT_GT(largest, 1e-4) << "nothing was packed";
  EXPECT_EQ(full->error_bound(3), 0);
  EXPECT_EQ(packed->error_bound(3), kernel::packed_model_error(10, 2));
}

// The largest contraction coefficient (Birkhoff) of a population's transitions in Hilbert's metric.
double contraction(const GenerativeModel& model) {
  const auto states = static_cast<size_t>(model.num_states[0]), actions = static_cast<size_t>(model.num_controls[0]);
  const auto B = [&](size_t next, size_t s, size_t u) { return model.B[0].data[(next * states + s) * actions + u]; };
  double diameter = 0;
  for (size_t u = 0; u < actions; ++u) {
    for (size_t s = 0; s < states; ++s) {
      for (size_t r = 0; r < states; ++r) {
        double most = 0, least = INFINITY;
        for (size_t next = 0; next < states; ++next) {
          most = std::max(most, B(next, s, u) / B(next, r, u));
          least = std::min(least, B(next, s, u) / B(next, r, u));
        }
        diameter = std::max(diameter, std::log(most / least));
      }
    }
  }
  return std::tanh(diameter / 4);
}

// Where the world mixes, what packing did is forgotten: the error stays below d / (1 - tau) however long they live.
TEST(PackedOwnModels, TheErrorDoesNotGrowWhereTransitionsMix) {
  auto pool = ThreadPool::create(1);
  const RandomModel shape = shape_of(0.9);
  double tau = contraction(random_model(shape, 1));
  for (uint32_t i = 0; i < kAgents; ++i) tau = std::max(tau, contraction(random_model(shape, 100 + i)));
  ASSERT_LT(tau, 0.9);
  const double in_a_step = 2 * std::atanh(kernel::kBfloat16Error) * 3;
  const double bound = 2 * std::tanh(in_a_step / (1 - tau) / 4);
  auto full = make(shape, ModelStorage::full, *pool);
  auto packed = make(shape, ModelStorage::bfloat16, *pool);
  Random random(3);
  for (int t = 0; t < 200; ++t) {
    const auto observations = observations_of(random, full->model());
    std::vector<uint16_t> actions(full->actions().begin(), full->actions().end());
    packed->set_actions(actions);
    ASSERT_TRUE(full->step(observations).has_value());
    ASSERT_TRUE(packed->step(observations).has_value());
    for (uint32_t i = 0; i < kAgents; ++i) ASSERT_LE(distance(*full, *packed, i), bound + 1e-5) << "step " << t;
  }
  EXPECT_LT(bound, packed->error_bound(0) / 4) << "the bound of the age alone is far above by now";
}

TEST(PackedOwnModels, AStepIsTheSameWhateverTheNumberOfThreads) {
  std::vector<std::unique_ptr<Population>> populations;
  std::vector<std::unique_ptr<ThreadPool>> pools;
  for (int threads : {1, 3}) {
    pools.push_back(ThreadPool::create(threads, Pinning::never));
    PopulationOptions options;
    options.own_storage = ModelStorage::bfloat16;
    options.action_selection = ActionSelection::sampled;
    populations.push_back(make(shape_of(0), options, *pools.back()));
  }
  Random random(4);
  for (int t = 0; t < 5; ++t) {
    const auto observations = observations_of(random, populations[0]->model());
    for (auto& population : populations) ASSERT_TRUE(population->step(observations).has_value());
    for (uint32_t i = 0; i < kAgents; ++i) {
      ASSERT_EQ(populations[0]->actions()[i], populations[1]->actions()[i]);
      ASSERT_EQ(distance(*populations[0], *populations[1], i), 0);
    }
  }
}

// Counts stay f32: small changes add up that a packed model alone would round away.
TEST(PackedOwnModels, LearningFollowsTheCounts) {
  auto pool = ThreadPool::create(1);
  for (const RandomModel& shape :
       {RandomModel{.states = {4}, .observations = {3}, .controls = {2}, .counts = true},
        RandomModel{.states = {3, 2}, .observations = {3}, .controls = {2, 1}, .counts = true}}) {
    auto model = random_model(shape, 5);
    for (auto* counts : {&model.pA, &model.pB})
      for (Tensor& of_one : *counts)
        for (double& x : of_one.data) x *= 1000;
    PopulationOptions options;
    options.capacity = 3;
    options.own_models = options.learning = true;
    options.plan = false;
    auto full = Population::create(model, options, *pool).value();
    options.own_storage = ModelStorage::bfloat16;
    auto packed = Population::create(model, options, *pool).value();
    const auto both = {full.get(), packed.get()};
    const auto step = [&](const std::vector<uint16_t>& actions, const std::vector<uint16_t>& seen) {
      for (Population* population : both) {
        population->set_actions(actions);
        ASSERT_TRUE(population->step(seen).has_value());
      }
    };
    for (Population* population : both)
      for (int i = 0; i < 3; ++i) ASSERT_TRUE(population->add().has_value());
    const std::vector<uint16_t> usual{1, 0, 2};  // each sees another thing, and each learns of its own action alone
    float first = 0;
    for (int t = 0; t < 6000; ++t) {  // each at most a part in a thousand of the counts, half of what rounding hides
      step({0, 1, 0}, usual);
      for (Population* population : both) ASSERT_TRUE(population->learn(usual).has_value());
      if (t == 0) first = full->free_energy()[0];
    }
    step({0, 1, 0}, usual);
    EXPECT_LT(full->free_energy()[0], first - 0.2F) << "has not learnt that outcome 1 is the usual one";
    for (int t = 0; t < 4; ++t) {
      for (uint32_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(full->free_energy()[i], packed->free_energy()[i], 0.03) << "agent " << i;
        EXPECT_LT(distance(*full, *packed, i), 0.05) << "agent " << i;
      }
      step({1, 0, 1}, {2, 1, 0});  // what nobody has learnt of
    }
    EXPECT_EQ(packed->error_bound(0), 2) << "models that learn may part";
  }
}

TEST(PackedOwnModels, TakeHalfTheMemoryOfFullOnes) {
  auto pool = ThreadPool::create(1);
  PopulationOptions options;
  options.capacity = 2000;
  options.own_models = true;
  const auto model = random_model({.states = {32}, .observations = {32}, .controls = {4}}, 1);
  const auto full = Population::create(model, options, *pool).value()->bytes().count;
  options.own_storage = ModelStorage::bfloat16;
  EXPECT_LT(Population::create(model, options, *pool).value()->bytes().count, full * 11 / 20);
}

TEST(PackedOwnModels, AreRefusedWhereTheyMakeNoSense) {
  auto pool = ThreadPool::create(1);
  PopulationOptions options;
  options.own_storage = ModelStorage::bfloat16;
  EXPECT_EQ(Population::create(random_model({}, 1), options, *pool).error().code, ErrorCode::invalid_argument);
  options.own_models = true;
  EXPECT_TRUE(Population::create(random_model({}, 1), options, *pool).has_value());
  options.precision = Precision::f64;
  EXPECT_EQ(Population::create(random_model({}, 1), options, *pool).error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace skep::belief
