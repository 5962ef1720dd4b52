// Edge, sparse and compact beliefs, each held to the error it promises.

#include <gtest/gtest.h>

#include <cmath>

#include "mind/belief/agent.h"
#include "mind/belief/compact_beliefs.h"
#include "mind/belief/compact_population.h"
#include "mind/belief/edge_population.h"
#include "mind/belief/half.h"
#include "mind/belief/population.h"
#include "mind/belief/random_model.h"
#include "mind/belief/rounding.h"
#include "mind/belief/sparse_population.h"

namespace skep::belief {
namespace {

TEST(Rounding, BytesSumExactlyAndErrByHalfAUnitEachAtMost) {
  Random random(1);
  for (size_t n : {1, 2, 5, 16, 32, 100}) {
    for (int i = 0; i < 300; ++i) {
      std::vector<float> p(n), scratch(n);
      double sum = 0;
      for (float& x : p) sum += static_cast<double>(x = static_cast<float>(std::pow(random.uniform(), 1 + i % 8)));
      for (float& x : p) x = static_cast<float>(static_cast<double>(x) / sum);
      std::vector<uint8_t> bytes(n);
      round_to_bytes(p.data(), n, bytes.data(), scratch.data());
      int total = 0;
      double error = 0;
      for (size_t s = 0; s < n; ++s) {
        total += bytes[s];
        error += std::abs(bytes[s] / 255.0 - static_cast<double>(p[s]));
      }
      ASSERT_EQ(total, 255);
      ASSERT_LE(error, static_cast<double>(n) / 510 + 1e-5);
    }
  }
}

TEST(Rounding, HalvesRoundTripWithinTheirPrecision) {
  Random random(2);
  for (int i = 0; i < 100'000; ++i) {
    const auto x = static_cast<float>(random.uniform(-1, 1) * std::exp2(random.uniform(-14, 15)));
    const float back = from_half(to_half(x));
    ASSERT_LE(std::abs(back - x), std::abs(x) * 0x1p-11F + 0x1p-25F) << x;
    const float b = from_bfloat16(to_bfloat16(std::abs(x)));
    ASSERT_LE(std::abs(b - std::abs(x)), std::abs(x) * 0x1p-8F);
  }
  for (uint32_t h = 0; h < 0x7c00; ++h) ASSERT_EQ(to_half(from_half(static_cast<uint16_t>(h))), h);
  EXPECT_EQ(from_half(to_half(1e6F)), INFINITY);
}

TEST(EdgePopulation, StaysWithinTheErrorThatEachAgentCarries) {
  EXPECT_LE(sizeof(EdgeAgent), 32u);
  for (double mixing : {0.0, 0.5, 0.9}) {
    const auto model = random_model({.states = {16}, .observations = {8}, .controls = {4}, .mixing = mixing}, 40);
    constexpr uint32_t kAgents = 40;
    auto edge = EdgePopulation::create(model, kAgents).value();
    std::vector<Agent> exact;
    for (uint32_t i = 0; i < kAgents; ++i) {
      ASSERT_TRUE(edge.add().has_value());
      exact.push_back(Agent::create(model).value());
    }
    Random random(3);
    double worst = 0, mean = 0, largest_bound = 0;
    for (int t = 0; t < 30; ++t) {
      std::vector<uint8_t> observations;
      for (uint32_t i = 0; i < kAgents; ++i) {
        observations.push_back(random.below(6) == 0 ? EdgePopulation::kNoNews : static_cast<uint8_t>(random.below(8)));
      }
      ASSERT_TRUE(edge.step(observations).has_value());
      for (uint32_t i = 0; i < kAgents; ++i) {
        const int o = observations[i] == EdgePopulation::kNoNews ? -1 : observations[i];
        ASSERT_TRUE(exact[i].infer_states(std::span(&o, 1)).has_value());
        std::vector<float> q(16);
        edge.belief(i, q);
        double error = 0;
        for (size_t s = 0; s < 16; ++s) error += std::abs(static_cast<double>(q[s]) - exact[i].belief(0)[s]);
        ASSERT_LE(error, static_cast<double>(edge.error_bound(i)) + 1e-5) << "mixing " << mixing << ", step " << t;
        worst = std::max(worst, error);
        largest_bound = std::max(largest_bound, static_cast<double>(edge.error_bound(i)));
        mean += error / (30 * kAgents);
        exact[i].set_action({edge.action(i)});
      }
    }
    EXPECT_LT(mean, 0.03);
    EXPECT_LT(worst, 0.25);
    if (mixing == 0.9) {
      EXPECT_LT(largest_bound, 0.5) << "a bound of 2 promises nothing";
    }
  }
}

// A ring of places: every action moves to a neighbour or stays, sensors see a blurred place.
GenerativeModel ring(int places, double slip) {
  GenerativeModel m;
  Tensor A({places, places}), B({places, places, 3});
  for (int s = 0; s < places; ++s) {
    for (int d = -1; d <= 1; ++d) A.at({(s + d + places) % places, s}) = d == 0 ? 0.8 : 0.1;
    for (int u = 0; u < 3; ++u) {
      B.at({(s + u - 1 + places) % places, s, u}) += 1 - slip;
      B.at({s, s, u}) += slip;
    }
  }
  m.A = {A};
  m.B = {B};
  return complete(m).value();
}

TEST(EdgePopulation, PlansLikeTheReferenceWhereItIsClear) {
  auto model = ring(16, 0.1);
  for (int o = 0; o < 16; ++o) model.C[0].data[static_cast<size_t>(o)] = -std::abs(o - 8);  // the far side is home
  auto edge = EdgePopulation::create(model, 1).value();
  ASSERT_TRUE(edge.add().has_value());
  Agent agent = Agent::create(model).value();
  int compared = 0;
  for (int o : {3, 2, 3, 4, 5, 6, 7, 8, 8}) {
    ASSERT_TRUE(edge.step(std::vector<uint8_t>{static_cast<uint8_t>(o)}).has_value());
    ASSERT_TRUE(agent.infer_states(std::span(&o, 1)).has_value());
    agent.infer_policies();
    auto values = agent.policy_terms().neg_efe;
    const auto chosen = agent.sample_action()[0];
    std::sort(values.begin(), values.end());
    if (values[2] - values[1] > 0.05) {
      EXPECT_EQ(edge.action(0), chosen);
      ++compared;
    }
    edge.set_action(0, static_cast<uint8_t>(chosen));
  }
  EXPECT_GT(compared, 2);
}

TEST(EdgePopulation, SlotsAndWrongInput) {
  const auto model = random_model({.states = {5}, .observations = {3}, .controls = {2}}, 42);
  auto edge = EdgePopulation::create(model, 2).value();
  EXPECT_EQ(edge.add().value(), 0u);
  EXPECT_EQ(edge.add().value(), 1u);
  EXPECT_FALSE(edge.add().has_value());
  edge.remove(0);
  EXPECT_TRUE(edge.step(std::vector<uint8_t>{99, 2}).has_value()) << "an empty slot may hold anything";
  EXPECT_FALSE(edge.step(std::vector<uint8_t>{0, 3}).has_value());
  EXPECT_FALSE(edge.step(std::vector<uint8_t>{0}).has_value());
  EXPECT_EQ(edge.add().value(), 0u);
  EXPECT_FALSE(EdgePopulation::create(random_model({.states = {17}}, 1), 2).has_value());
}

TEST(SparsePopulation, KeepsOnlyWhatMattersWithinItsErrorBound) {
  const int places = 200;
  const auto model = ring(places, 0.1);
  auto pool = kernel::ThreadPool::create(2, kernel::Pinning::never);
  for (double prune : {0.0, 1e-6, 1e-4}) {
    SparseOptions options;
    options.capacity = 20;
    options.prune = prune;
    auto sparse = SparsePopulation::create(model, options, *pool).value();
    std::vector<Agent> exact;
    std::vector<int> place(20, 0);
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(sparse->add().has_value());
      exact.push_back(Agent::create(model).value());
    }
    EXPECT_TRUE(sparse->dense(0)) << "D is uniform";
    Random random(4);
    std::vector<uint16_t> actions(20), observations(20);
    bool was_sparse = false;
    for (int t = 0; t < 25; ++t) {
      for (size_t i = 0; i < 20; ++i) {
        place[i] = (place[i] + actions[i] - 1 + places) % places;
        observations[i] =
            t % 9 == 8 ? kNotObserved
                       : static_cast<uint16_t>((place[i] + static_cast<int>(random.below(3)) - 1 + places) % places);
      }
      ASSERT_TRUE(sparse->step(actions, observations).has_value());
      for (uint32_t i = 0; i < 20; ++i) {
        const int o = observations[i] == kNotObserved ? -1 : observations[i];
        ASSERT_TRUE(exact[i].infer_states(std::span(&o, 1)).has_value());
        std::vector<double> q(static_cast<size_t>(places));
        sparse->belief(i, q);
        double error = 0;
        for (size_t s = 0; s < q.size(); ++s) error += std::abs(q[s] - exact[i].belief(0)[s]);
        ASSERT_LE(error, sparse->error_bound(i) + 2e-5) << "prune " << prune << ", step " << t;
        ASSERT_LT(error, 0.02);
        was_sparse |= !sparse->dense(i) && sparse->support(i) < 20;
        actions[i] = static_cast<uint16_t>(random.below(3));
        exact[i].set_action({actions[i]});
      }
    }
    EXPECT_TRUE(was_sparse);
    if (prune == 0) {
      EXPECT_EQ(sparse->error_bound(0), 0);
    }
  }
}

// A belief over so many states that each has less than `prune` is kept as it is: dropping it would end the agent.
TEST(SparsePopulation, ABeliefOfManySmallEntriesLivesOn) {
  const int places = 400;
  auto model = ring(places, 0.1);
  auto pool = kernel::ThreadPool::create(1);
  auto sparse = SparsePopulation::create(model, {.capacity = 1, .prune = 0.009}, *pool).value();
  ASSERT_TRUE(sparse->add().has_value());
  std::vector<double> q(places);
  const auto total = [&] {
    sparse->belief(0, q);
    double sum = 0;
    for (double p : q) sum += p;
    return sum;
  };
  for (int t = 0; t < 3; ++t) {  // nobody sees anything: every place stays at 1/400
    ASSERT_TRUE(sparse->step(std::vector<uint16_t>{1}, std::vector<uint16_t>{kNotObserved}).has_value());
    ASSERT_NEAR(total(), 1, 1e-5);
    EXPECT_NEAR(q[7], 1.0 / places, 1e-6);
    EXPECT_EQ(sparse->error_bound(0), 0);
  }
  ASSERT_TRUE(sparse->step(std::vector<uint16_t>{1}, std::vector<uint16_t>{5}).has_value());
  EXPECT_NEAR(total(), 1, 1e-5);
  EXPECT_GT(q[5], 0.1);
  EXPECT_LT(sparse->support(0), 100u);
}

TEST(CompactBeliefs, TakesTheSmallestFormatThatKeepsTheTolerance) {
  Random random(5);
  for (double tolerance : {0.0, 0.002, 0.02, 0.1}) {
    CompactBeliefs store(60, 32, tolerance);
    std::vector<std::vector<float>> rows(60);
    int formats[4] = {};
    for (int round = 0; round < 5; ++round) {
      for (uint32_t i = 0; i < 60; ++i) {
        std::vector<float> q(32);
        double sum = 0;
        for (float& p : q) sum += static_cast<double>(p = static_cast<float>(std::pow(random.uniform(), i % 30)));
        for (float& p : q) p = static_cast<float>(static_cast<double>(p) / sum);
        rows[i] = q;
        const double promised = store.store(i, q);
        EXPECT_LE(promised, tolerance + 1e-12);
        std::vector<float> back(32);
        store.load(i, back);
        double error = 0, total = 0;
        for (size_t s = 0; s < 32; ++s) {
          error += std::abs(static_cast<double>(back[s]) - static_cast<double>(q[s]));
          total += static_cast<double>(back[s]);
        }
        EXPECT_NEAR(error, promised, 1e-5);
        EXPECT_NEAR(total, 1, 1e-5);
        ++formats[static_cast<int>(store.format(i))];
      }
    }
    // No row disturbed another's place.
    for (uint32_t i = 0; i < 60; ++i) {
      std::vector<float> back(32);
      store.load(i, back);
      double error = 0;
      for (size_t s = 0; s < 32; ++s) error += std::abs(static_cast<double>(back[s]) - static_cast<double>(rows[i][s]));
      EXPECT_LE(error, tolerance + 1e-5);
    }
    if (tolerance == 0.1) {
      EXPECT_EQ(formats[1], 300) << "32/510 is below 0.1: bytes always do";
    }
    if (tolerance == 0.02) {
      EXPECT_GT(formats[1], 0);
      EXPECT_GT(formats[2], 0);
    }
    if (tolerance == 0.0) {
      EXPECT_GT(formats[3], 250);
    }
  }
}

TEST(CompactPopulation, KeepsRowsAsSmallAsUncertaintyAllowsWithinItsErrorBound) {
  const int places = 32, agents = 200;
  const auto model = ring(places, 0.1);
  for (double tolerance : {0.0, 0.01, 0.03}) {
    auto two = kernel::ThreadPool::create(2, kernel::Pinning::never);
    auto one = kernel::ThreadPool::create(1, kernel::Pinning::never);
    auto compact = CompactPopulation::create(model, {.capacity = agents, .tolerance = tolerance}, *two).value();
    auto alone = CompactPopulation::create(model, {.capacity = agents, .tolerance = tolerance}, *one).value();
    std::vector<Agent> exact;
    std::vector<int> place(agents, 0);
    for (int i = 0; i < agents; ++i) {
      ASSERT_TRUE(compact->add().has_value());
      ASSERT_TRUE(alone->add().has_value());
      exact.push_back(Agent::create(model).value());
    }
    Random random(9);
    std::vector<uint16_t> actions(agents), observations(agents);
    int formats[4] = {};
    double sum = 0;
    for (int t = 0; t < 20; ++t) {
      for (size_t i = 0; i < agents; ++i) {
        place[i] = (place[i] + actions[i] - 1 + places) % places;
        observations[i] =
            t % 7 == 6 ? kNotObserved
                       : static_cast<uint16_t>((place[i] + static_cast<int>(random.below(3)) - 1 + places) % places);
      }
      ASSERT_TRUE(compact->step(actions, observations).has_value());
      ASSERT_TRUE(alone->step(actions, observations).has_value());
      for (uint32_t i = 0; i < agents; ++i) {
        const int o = observations[i] == kNotObserved ? -1 : observations[i];
        ASSERT_TRUE(exact[i].infer_states(std::span(&o, 1)).has_value());
        std::vector<float> q(places), q_alone(places);
        compact->belief(i, q);
        alone->belief(i, q_alone);
        ASSERT_EQ(q, q_alone) << "the number of threads changed something";
        double error = 0;
        for (size_t s = 0; s < q.size(); ++s) error += std::abs(static_cast<double>(q[s]) - exact[i].belief(0)[s]);
        ASSERT_LE(error, compact->error_bound(i) + 2e-5) << "tolerance " << tolerance << ", step " << t;
        sum += error;
        ++formats[static_cast<int>(compact->format(i))];
        actions[i] = static_cast<uint16_t>(random.below(3));
        exact[i].set_action({actions[i]});
      }
    }
    if (tolerance == 0) {
      EXPECT_GT(formats[static_cast<int>(BeliefFormat::f32)], 0);
      EXPECT_LT(sum / (20 * agents), 1e-5);
    } else {
      EXPECT_EQ(formats[static_cast<int>(BeliefFormat::f32)], 0) << "bfloat16 is within 2^-8";
      EXPECT_GT(formats[static_cast<int>(BeliefFormat::byte)], 0);
      EXPECT_LT(compact->bytes().count, agents * places * 3) << "f32 alone takes four bytes";
      EXPECT_LT(sum / (20 * agents), 2 * tolerance);
    }
  }
}

TEST(CompactPopulation, SlotsAndWrongInput) {
  const auto model = random_model({.states = {5}, .observations = {3}, .controls = {2}}, 42);
  auto pool = kernel::ThreadPool::create(1);
  auto compact = CompactPopulation::create(model, {.capacity = 2}, *pool).value();
  EXPECT_EQ(compact->add().value(), 0u);
  EXPECT_EQ(compact->add().value(), 1u);
  EXPECT_FALSE(compact->add().has_value());
  compact->remove(0);
  EXPECT_EQ(compact->size(), 1u);
  using Numbers = std::vector<uint16_t>;
  EXPECT_TRUE(compact->step(Numbers{9, 9}, Numbers{99, 2}).has_value()) << "a first step takes no action";
  EXPECT_FALSE(compact->step(Numbers{0, 2}, Numbers{0, 1}).has_value()) << "no such action";
  EXPECT_FALSE(compact->step(Numbers{0, 1}, Numbers{0, 3}).has_value()) << "no such outcome";
  EXPECT_FALSE(compact->step(Numbers{0}, Numbers{0}).has_value());
  EXPECT_EQ(compact->add().value(), 0u);
  EXPECT_FALSE(CompactPopulation::create(model, {.capacity = 0}, *pool).has_value());
  EXPECT_FALSE(CompactPopulation::create(model, {.capacity = 1, .tolerance = -1}, *pool).has_value());
}

}  // namespace
}  // namespace skep::belief
