#include "mind/belief/population.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <new>

#include "mind/belief/aligned_array.h"
#include "mind/belief/random_model.h"
#include "mind/belief/testing_population.h"

// Every allocation of this program passes here, so that a step can be shown to make none: plain and aligned new, and
// aligned_alloc, which AlignedArray takes.
namespace {
std::atomic<long> allocations{0};
}
void* operator new(size_t n) {
  ++allocations;
  if (void* p = std::malloc(n == 0 ? 1 : n)) return p;
  throw std::bad_alloc();
}
void* operator new(size_t n, std::align_val_t alignment) {
  ++allocations;
  void* p = nullptr;
  if (posix_memalign(&p, std::max(static_cast<size_t>(alignment), sizeof(void*)), n == 0 ? 1 : n) == 0) return p;
  throw std::bad_alloc();
}
extern "C" void* aligned_alloc(size_t alignment, size_t n) noexcept {
  ++allocations;
  void* p = nullptr;
  return posix_memalign(&p, alignment, n) == 0 ? p : nullptr;
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace skep::belief {
namespace {

using kernel::Pinning;
using kernel::ThreadPool;

// Steps a population and as many reference agents side by side, the reference taking the population's actions.
void expect_agreement(const GenerativeModel& model, PopulationOptions options, double tolerance,
                      double policy_tolerance) {
  auto pool = ThreadPool::create(2, Pinning::never);
  options.keep_policies = true;
  auto population = make(model, options, *pool);
  AgentOptions reference;
  reference.inference = options.backend == BackendKind::mean_field ? Inference::mean_field : Inference::joint;
  if (model.factors() == 1) reference.inference = Inference::mean_field;
  reference.gamma = options.gamma;
  std::vector<Agent> agents;
  for (uint32_t i = 0; i < options.capacity; ++i) agents.push_back(Agent::create(model, reference).value());
  Random random(11);
  for (int t = 0; t < 4; ++t) {
    const auto observations = random_observations(random, model, options.capacity, true);
    ASSERT_TRUE(population->step(observations).has_value());
    for (uint32_t i = 0; i < options.capacity; ++i) {
      std::vector<int> seen;
      for (size_t m = 0; m < model.num_obs.size(); ++m) {
        const uint16_t o = observations[i * model.num_obs.size() + m];
        seen.push_back(o == kNotObserved ? -1 : o);
      }
      ASSERT_TRUE(agents[i].infer_states(seen).has_value());
      agents[i].infer_policies();
      for (int f = 0; f < model.factors(); ++f) {
        std::vector<double> marginal(static_cast<size_t>(model.num_states[static_cast<size_t>(f)]));
        population->marginal(i, f, marginal);
        for (size_t s = 0; s < marginal.size(); ++s)
          ASSERT_NEAR(marginal[s], agents[i].belief(f)[s], tolerance) << "step " << t;
      }
      ASSERT_NEAR(population->free_energy()[i], agents[i].free_energy().F, tolerance * 10 + 1e-6);
      const PolicyTerms& terms = agents[i].policy_terms();
      for (size_t p = 0; p < terms.neg_efe.size(); ++p) {
        ASSERT_NEAR(population->neg_efe(i)[p], terms.exact_utility[p] + terms.exact_states_info_gain[p],
                    tolerance * 20 + 2e-6);
        ASSERT_NEAR(population->policy_posterior(i)[p], terms.q_pi[p], policy_tolerance);
      }
      agents[i].sample_action();
      agents[i].set_action(model.unpack_action(population->actions()[i]));
    }
  }
}

TEST(Population, AgreesWithTheReferenceAgentForOneFactor) {
  for (const auto& [precision, tolerance, policies] :
       {std::tuple(Precision::f64, 1e-12, 1e-4), std::tuple(Precision::f32, 2e-6, 2e-4)}) {
    expect_agreement(random_model({.states = {16}, .observations = {16}, .controls = {4}}, 1), with(23, precision),
                     tolerance, policies);
    expect_agreement(random_model({.states = {32}, .observations = {32}, .controls = {4}}, 2), with(23, precision),
                     tolerance, policies);
    expect_agreement(random_model({.states = {5}, .observations = {3, 7}, .controls = {3}, .policy_length = 3}, 3),
                     with(9, precision), tolerance, policies);
    expect_agreement(
        random_model({.states = {4}, .observations = {6}, .controls = {2}, .policy_length = 2, .preference_steps = 2},
                     4),
        with(7, precision), tolerance, policies);
    expect_agreement(random_model({.states = {100}, .observations = {70}, .controls = {2}}, 5), with(7, precision),
                     tolerance, policies);
  }
}

TEST(Population, FiltersTheJointOfSeveralFactorsExactly) {
  const auto model = random_model({.states = {3, 4}, .observations = {5, 2}, .controls = {2, 3}}, 6);
  expect_agreement(model, with(13, Precision::f64), 1e-12, 1e-4);
  expect_agreement(model, with(13, Precision::f32), 2e-6, 2e-4);
}

// Each agent starts from its own D and tends to its own E, as reference agents with such models do.
TEST(Population, AgentsMayHaveTheirOwnStartAndHabits) {
  auto pool = ThreadPool::create(2, Pinning::never);
  for (const auto& [backend, precision] :
       std::initializer_list<std::pair<BackendKind, Precision>>{{BackendKind::vector_joint, Precision::f32},
                                                                {BackendKind::vector_joint, Precision::f64},
                                                                {BackendKind::mean_field, Precision::f64}}) {
    for (const bool own : {false, true}) {
      if (own && backend == BackendKind::mean_field) continue;
      constexpr uint32_t agents = 5;
      const auto model =
          random_model({.states = {3, 4}, .observations = {4, 3}, .controls = {2, 2}, .policy_length = 2}, 51);
      auto options = with(agents, precision);
      options.backend = backend;
      options.own_habits = options.keep_policies = true;
      options.own_models = own;
      options.gamma = 2;
      auto population = make(model, options, *pool);
      std::vector<Agent> reference;
      for (uint32_t i = 0; i < agents; ++i) {
        const auto other = random_model({.states = {3, 4}, .observations = {4, 3}, .controls = {2, 2}}, 60 + i);
        GenerativeModel mine = model;
        if (i > 0) {  // the first one is as the model says
          mine.D = other.D;
          mine.E.assign(16, 0.02);
          mine.E[i * 3] = 1 - 15 * 0.02;
          ASSERT_TRUE(population->set_start(i, {other.D[0].data, other.D[1].data}).has_value());
          ASSERT_TRUE(population->set_habits(i, mine.E).has_value());
        }
        AgentOptions of_agent;
        of_agent.gamma = 2;
        of_agent.inference = backend == BackendKind::mean_field ? Inference::mean_field : Inference::joint;
        reference.push_back(Agent::create(mine, of_agent).value());
      }
      Random random(8);
      for (int t = 0; t < 3; ++t) {
        const auto observations = random_observations(random, model, agents);
        ASSERT_TRUE(population->step(observations).has_value());
        for (uint32_t i = 0; i < agents; ++i) {
          ASSERT_TRUE(reference[i].infer_states(std::vector<int>{observations[2 * i], observations[2 * i + 1]}));
          reference[i].infer_policies();
          std::vector<double> marginal(4);
          population->marginal(i, 1, marginal);
          for (size_t s = 0; s < 4; ++s) ASSERT_NEAR(marginal[s], reference[i].belief(1)[s], 1e-5) << i << ' ' << t;
          for (size_t p = 0; p < 16; ++p)
            ASSERT_NEAR(population->policy_posterior(i)[p], reference[i].policy_terms().q_pi[p], 1e-5) << i << ' ' << t;
          reference[i].sample_action();
          reference[i].set_action(model.unpack_action(population->actions()[i]));
        }
      }
      EXPECT_FALSE(population->set_start(0, {model.D[0].data, model.D[1].data})) << "it has started";
      EXPECT_FALSE(population->set_habits(0, std::vector<double>(16, 0.1))) << "does not sum to 1";
      EXPECT_FALSE(population->set_habits(0, std::vector<double>{1}));
      ASSERT_TRUE(population->remove(population->at(1)));
      ASSERT_EQ(population->add().value().slot, 1u);
      ASSERT_TRUE(population->step(random_observations(random, model, agents)).has_value());
    }
  }
  auto shared = make(random_model({}, 19), with(1, Precision::f32), *pool);
  EXPECT_EQ(shared->set_habits(0, std::vector<double>{0.5, 0.5}).error().code, ErrorCode::unsupported);
  EXPECT_FALSE(shared->set_start(0, {{0.5, 0.5, 0, 0}, {1}})) << "it has one factor";
  EXPECT_TRUE(shared->set_start(0, {{0.5, 0.5, 0, 0}}));
}

// What `automatic` promises: the joint as large as asked for, and no larger.
TEST(Population, FiltersExactlyUpToItsJointLimitAndByMeanFieldBeyond) {
  auto pool = ThreadPool::create(1);
  const auto model = random_model({.states = {40, 30}, .observations = {3}, .controls = {1, 1}}, 22);
  auto options = with(3, Precision::f32);
  const auto backend = [&] { return Population::create(model, options, *pool).value()->backend(); };
  EXPECT_EQ(backend().rfind("mean-field", 0), 0u) << backend();  // 1,200 joint states, of 1,024
  options.joint_limit = 1200;
  EXPECT_EQ(backend().rfind("vector", 0), 0u) << backend();
  options.joint_limit = 1199;
  EXPECT_EQ(backend().rfind("mean-field", 0), 0u) << backend();
  options.joint_limit = 1200;
  expect_agreement(model, options, 2e-6, 2e-4);
}

TEST(Population, TheMeanFieldBackendDoesWhatTheReferenceDoes) {
  auto options = with(9, Precision::f64);
  options.backend = BackendKind::mean_field;
  expect_agreement(random_model({.states = {3, 4}, .observations = {5, 2}, .controls = {2, 3}, .policy_length = 2}, 7),
                   options, 1e-12, 1e-4);
}

TEST(Population, OwnModelsThatEqualTheSharedOneGiveTheSame) {
  auto pool = ThreadPool::create(2, Pinning::never);
  for (int length : {1, 2}) {
    const auto model =
        random_model({.states = {12}, .observations = {9, 3}, .controls = {3}, .policy_length = length}, 8);
    auto options = with(40, Precision::f64);
    options.keep_policies = true;
    auto shared = make(model, options, *pool);
    options.own_models = true;
    auto own = make(model, options, *pool);
    Random random(5);
    for (int t = 0; t < 4; ++t) {
      const auto observations = random_observations(random, model, 40, true);
      ASSERT_TRUE(shared->step(observations).has_value());
      ASSERT_TRUE(own->step(observations).has_value());
      for (uint32_t i = 0; i < 40; ++i) {
        std::vector<double> a(12), b(12);
        shared->copy_belief(i, a);
        own->copy_belief(i, b);
        for (size_t s = 0; s < 12; ++s) ASSERT_NEAR(a[s], b[s], 1e-13);
        for (size_t p = 0; p < shared->neg_efe(i).size(); ++p)
          ASSERT_NEAR(shared->neg_efe(i)[p], own->neg_efe(i)[p], 1e-5);
        ASSERT_EQ(shared->actions()[i], own->actions()[i]);
      }
    }
  }
}

TEST(Population, AnAgentWithItsOwnModelFollowsIt) {
  auto pool = ThreadPool::create(1);
  const auto model = random_model({.states = {6}, .observations = {4}, .controls = {2}}, 9);
  const auto other = random_model({.states = {6}, .observations = {4}, .controls = {2}}, 10);
  auto options = with(2, Precision::f64);
  options.own_models = true;
  auto population = make(model, options, *pool);
  ASSERT_TRUE(population->set_own_model(1, other.A, other.B).has_value());
  auto changed = other;
  changed.D = model.D;
  auto expected = make(changed, with(1, Precision::f64), *pool);
  for (uint16_t o : {0, 3, 1}) {
    ASSERT_TRUE(population->step(std::vector<uint16_t>{o, o}).has_value());
    population->set_action(1, 1);
    ASSERT_TRUE(expected->step(std::vector<uint16_t>{o}).has_value());
    expected->set_action(0, 1);
    std::vector<double> a(6), b(6);
    population->copy_belief(1, a);
    expected->copy_belief(0, b);
    for (size_t s = 0; s < 6; ++s) ASSERT_NEAR(a[s], b[s], 1e-13);
  }
  auto bad = other.A;
  bad[0].data[0] += 0.5;
  EXPECT_FALSE(population->set_own_model(1, bad, other.B).has_value());
}

TEST(Population, LearnsLikeTheReferenceAgent) {
  auto pool = ThreadPool::create(2, Pinning::never);
  const auto model =
      random_model({.states = {5}, .observations = {4}, .controls = {3}, .zeros = true, .counts = true}, 12);
  for (double forgetting : {0.0, 0.1}) {
    auto options = with(3, Precision::f64);
    options.own_models = options.learning = true;
    options.lr_pB = 0.7;
    options.forgetting = forgetting;
    GenerativeModel start = model;  // both begin with the expectation of the counts
    auto population = make(start, options, *pool);
    AgentOptions o;
    o.lr_pB = 0.7;
    o.forgetting = forgetting;
    Agent agent = Agent::create(start, o).value();
    Random random(3);
    for (int t = 0; t < 6; ++t) {
      const auto seen = static_cast<uint16_t>(random.below(4));
      const std::vector<uint16_t> observations(3, seen);
      ASSERT_TRUE(population->step(observations).has_value());
      const int index = seen;
      ASSERT_TRUE(agent.infer_states(std::span(&index, 1)).has_value());
      std::vector<double> q(5);
      population->copy_belief(2, q);
      for (size_t s = 0; s < 5; ++s) ASSERT_NEAR(q[s], agent.belief(0)[s], 1e-11) << "step " << t;
      ASSERT_TRUE(population->learn(observations).has_value());
      ASSERT_TRUE(agent.update_A(std::span(&index, 1)).has_value());
      ASSERT_TRUE(agent.update_B().has_value());
      const auto action = static_cast<uint16_t>(random.below(3));
      for (uint32_t i = 0; i < 3; ++i) population->set_action(i, action);
      agent.infer_policies();
      agent.sample_action();
      agent.set_action({action});
    }
  }
}

// Two factors, of which each modality and each transition depends on one: then the joint's marginals are the agent's.
TEST(Population, LearnsSeveralFactorsLikeTheReferenceAgent) {
  auto pool = ThreadPool::create(2, Pinning::never);
  auto model = random_model({.states = {3, 4}, .observations = {4, 5}, .controls = {3, 2}, .counts = true}, 21);
  for (size_t m = 0; m < 2; ++m) {  // A[m] sees factor m alone
    const auto single = random_model({.states = {m == 0 ? 3 : 4}, .observations = {m == 0 ? 4 : 5}, .counts = true}, m);
    model.A[m] = single.A[0];
    model.pA[m] = single.pA[0];
    model.A_factors[m] = {static_cast<int>(m)};
  }
  for (double forgetting : {0.0, 0.1}) {
    auto options = with(3, Precision::f64);
    options.own_models = options.learning = true;
    options.lr_pA = 0.8;
    options.lr_pB = 0.7;
    options.forgetting = forgetting;
    auto population = make(model, options, *pool);
    AgentOptions o;
    o.lr_pA = 0.8;
    o.lr_pB = 0.7;
    o.forgetting = forgetting;
    Agent agent = Agent::create(model, o).value();
    Random random(3);
    for (int t = 0; t < 8; ++t) {
      const int seen[2] = {static_cast<int>(random.below(4)), static_cast<int>(random.below(5))};
      std::vector<uint16_t> observations;
      for (int i = 0; i < 3; ++i) observations.insert(observations.end(), std::begin(seen), std::end(seen));
      ASSERT_TRUE(population->step(observations).has_value());
      ASSERT_TRUE(agent.infer_states(seen).has_value());
      for (int f = 0; f < 2; ++f) {
        std::vector<double> q(static_cast<size_t>(model.num_states[static_cast<size_t>(f)]));
        population->marginal(2, f, q);
        for (size_t s = 0; s < q.size(); ++s)
          ASSERT_NEAR(q[s], agent.belief(f)[s], 1e-9) << "step " << t << ", factor " << f;
      }
      ASSERT_TRUE(population->learn(observations).has_value());
      ASSERT_TRUE(agent.update_A(seen).has_value());
      ASSERT_TRUE(agent.update_B().has_value());
      const auto action = static_cast<uint16_t>(random.below(6));
      for (uint32_t i = 0; i < 3; ++i) population->set_action(i, action);
      agent.infer_policies();
      agent.sample_action();
      agent.set_action(model.unpack_action(action));
    }
  }
}

TEST(Population, AStepIsTheSameWhateverTheNumberOfThreads) {
  const auto model = random_model({.states = {20}, .observations = {6}, .controls = {4}}, 13);
  auto options = with(3000, Precision::f32);
  options.action_selection = ActionSelection::sampled;
  options.alpha = 1;
  options.seed = 99;
  std::vector<std::vector<float>> beliefs;
  std::vector<std::vector<uint16_t>> actions;
  for (int threads : {1, 2, 5}) {
    auto pool = ThreadPool::create(threads, Pinning::never);
    auto population = make(model, options, *pool);
    Random random(7);
    for (int t = 0; t < 5; ++t) ASSERT_TRUE(population->step(random_observations(random, model, 3000)).has_value());
    std::vector<float> all;
    for (uint32_t i = 0; i < 3000; ++i)
      all.insert(all.end(), population->belief(i).begin(), population->belief(i).end());
    beliefs.push_back(all);
    actions.emplace_back(population->actions().begin(), population->actions().end());
  }
  EXPECT_EQ(beliefs[0], beliefs[1]);
  EXPECT_EQ(beliefs[0], beliefs[2]);
  EXPECT_EQ(actions[0], actions[1]);
  EXPECT_EQ(actions[0], actions[2]);
  // And the seed matters.
  options.seed = 100;
  auto pool = ThreadPool::create(1);
  auto population = make(model, options, *pool);
  Random random(7);
  for (int t = 0; t < 5; ++t) ASSERT_TRUE(population->step(random_observations(random, model, 3000)).has_value());
  EXPECT_NE(actions[0], std::vector<uint16_t>(population->actions().begin(), population->actions().end()));
}

TEST(Population, SampledActionsFollowTheirProbabilities) {
  auto pool = ThreadPool::create(1);
  const auto model = random_model(
      {
          .states = {4},
          .observations = {4},
          .controls =
              {
                  3,
              },
      },
      14);
  auto options = with(20'000, Precision::f32);
  options.action_selection = ActionSelection::sampled;
  options.alpha = 1;
  options.gamma = 1;
  options.keep_policies = true;
  auto population = make(model, options, *pool);
  ASSERT_TRUE(population->step(std::vector<uint16_t>(20'000, 2)).has_value());
  std::vector<double> counts(3);
  for (uint16_t a : population->actions()) counts[a] += 1.0 / 20'000;
  for (size_t a = 0; a < 3; ++a) EXPECT_NEAR(counts[a], static_cast<double>(population->policy_posterior(0)[a]), 0.02);
}

TEST(Population, TheAllocationsOfAnAlignedArrayAreCounted) {
  const long before = allocations.load();
  AlignedArray<float> array(100);
  EXPECT_GT(allocations.load(), before);
  EXPECT_EQ(array.data()[99], 0.0F);
}

// Of every kind of population, with everything that a step may be asked for.
TEST(Population, AStepAllocatesNothing) {
  auto pool = ThreadPool::create(2, Pinning::never);
  const auto single =
      random_model({.states = {32}, .observations = {32}, .controls = {4}, .policy_length = 2, .counts = true}, 15);
  const auto factored = random_model(
      {.states = {3, 4}, .observations = {5, 2}, .controls = {2, 3}, .policy_length = 2, .counts = true}, 16);
  struct Kind {
    const char* name;
    const GenerativeModel& model;
    PopulationOptions options;
    bool file = false;
  };
  const uint32_t agents = 1500;
  std::vector<Kind> kinds;
  for (const Precision precision : {Precision::f32, Precision::f64}) {
    PopulationOptions o = with(agents, precision);
    o.history = 10;
    o.history_beliefs = true;
    o.keep_policies = true;
    kinds.push_back({"one factor", single, o});
    kinds.push_back({"one factor in a file", single, o, true});
    kinds.push_back({"joint of two factors", factored, o});
    o.action_selection = ActionSelection::sampled;
    kinds.push_back({"sampled", single, o});
    kinds.push_back({"joint of two factors, sampled", factored, o});
    o.backend = BackendKind::mean_field;
    kinds.push_back({"mean field", factored, o});
    kinds.push_back({"mean field in a file", factored, o, true});
    o.backend = BackendKind::automatic;
    o.own_models = true;
    kinds.push_back({"own models", single, o});
    o.learning = true;
    o.forgetting = 0.1;
    kinds.push_back({"learning", single, o});
    kinds.push_back({"learning of two factors", factored, o});
    kinds.push_back({"learning in a file", single, o, true});
    if (precision == Precision::f64) continue;
    o.own_storage = ModelStorage::bfloat16;
    kinds.push_back({"learning in bfloat16", single, o});
    kinds.push_back({"learning of two factors in bfloat16", factored, o});
  }
  std::string folder = (std::filesystem::temp_directory_path() / "skep-population-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  for (size_t k = 0; k < kinds.size(); ++k) {
    Kind& kind = kinds[k];
    if (kind.file) kind.options.file = std::filesystem::path(folder) / std::to_string(k);
    auto population = make(kind.model, kind.options, *pool);
    Random random(1);
    const auto observations = random_observations(random, kind.model, agents);
    const std::vector<uint32_t> some{3, 700, 1499};
    const std::vector<uint16_t> of_some(some.size() * kind.model.num_obs.size(), 1);
    const std::vector<uint16_t> actions(agents, 1);
    std::vector<uint32_t> surprised;
    surprised.reserve(agents);
    const auto everything = [&] {
      bool done = population->step(observations).has_value() && population->step_some(some, of_some).has_value();
      if (kind.options.learning) done = done && population->learn(observations).has_value();
      population->set_action(3, 0);
      population->set_actions(actions);
      population->surprised(0, surprised);
      done = done && population->remove(population->at(700)).has_value() && population->add().has_value();
      return done && population->step(observations).has_value();
    };
    ASSERT_TRUE(everything()) << kind.name;
    const long before = allocations.load();
    const bool done = everything();
    EXPECT_EQ(allocations.load() - before, 0) << kind.name;
    EXPECT_TRUE(done) << kind.name;
  }
  std::filesystem::remove_all(folder);
}

TEST(Population, OnlyTheNamedAgentsChangeInAPartialStep) {
  auto pool = ThreadPool::create(2, Pinning::never);
  const auto model = random_model({.states = {8}, .observations = {5}, .controls = {2}}, 17);
  auto partial = make(model, with(1200, Precision::f32), *pool);
  auto full = make(model, with(1200, Precision::f32), *pool);
  Random random(2);
  const auto first = random_observations(random, model, 1200);
  ASSERT_TRUE(partial->step(first).has_value());
  ASSERT_TRUE(full->step(first).has_value());
  const std::vector<float> untouched(partial->belief(500).begin(), partial->belief(500).end());
  std::vector<uint32_t> slots;
  std::vector<uint16_t> news;
  auto second = random_observations(random, model, 1200);
  for (uint32_t i = 0; i < 1200; i += 3) {
    if (i == 500) continue;
    slots.push_back(i);
    news.push_back(second[i]);
  }
  ASSERT_TRUE(partial->step_some(slots, news).has_value());
  ASSERT_TRUE(full->step(second).has_value());
  for (uint32_t slot : slots) {
    ASSERT_TRUE(std::equal(partial->belief(slot).begin(), partial->belief(slot).end(), full->belief(slot).begin()))
        << slot;
    ASSERT_EQ(partial->actions()[slot], full->actions()[slot]);
  }
  EXPECT_TRUE(std::equal(untouched.begin(), untouched.end(), partial->belief(500).begin()));
  EXPECT_EQ(partial->step_some(std::vector<uint32_t>{1, 1}, std::vector<uint16_t>{0, 0}).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(partial->step_some(std::vector<uint32_t>{1200}, std::vector<uint16_t>{0}).error().code,
            ErrorCode::not_found);
  ASSERT_TRUE(partial->step_some(std::vector<uint32_t>{1}, std::vector<uint16_t>{0}).has_value())
      << "an error left its marks";
}

TEST(Population, SlotsAreReusedAndOldIdsDie) {
  auto pool = ThreadPool::create(1);
  const auto model = random_model({}, 18);
  auto population = make(model, with(3, Precision::f32), *pool);
  EXPECT_EQ(population->add().error().code, ErrorCode::overloaded);
  const AgentId middle = population->at(1);
  ASSERT_TRUE(population->step(std::vector<uint16_t>(3, 1)).has_value());
  ASSERT_TRUE(population->remove(middle).has_value());
  EXPECT_FALSE(population->alive(middle));
  EXPECT_EQ(population->remove(middle).error().code, ErrorCode::not_found);
  EXPECT_EQ(population->size(), 2u);
  // An empty slot may hold anything.
  ASSERT_TRUE(population->step(std::vector<uint16_t>{1, 12345, 1}).has_value());
  const AgentId again = population->add().value();
  EXPECT_EQ(again.slot, 1u);
  EXPECT_NE(again, middle);
  std::vector<double> q(4);
  population->copy_belief(1, q);
  for (size_t s = 0; s < 4; ++s) EXPECT_NEAR(q[s], model.D[0].data[s], 1e-7) << "a new agent starts from D";
}

TEST(Population, RefusesWhatIsOutOfRange) {
  auto pool = ThreadPool::create(1);
  const auto model = random_model({}, 19);
  auto population = make(model, with(2, Precision::f32), *pool);
  const auto wrong = population->step(std::vector<uint16_t>{0, 4});
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().message.find("slot 1"), std::string::npos);
  EXPECT_FALSE(population->step(std::vector<uint16_t>{0}).has_value());
  EXPECT_EQ(population->steps(), 0u);
  EXPECT_FALSE(population->set_belief(0, std::vector<double>{0.5, 0.6, 0, 0}).has_value());
  EXPECT_FALSE(population->set_belief(0, std::vector<double>{1.5, -0.5, 0, 0}).has_value());
  EXPECT_TRUE(population->set_belief(0, std::vector<double>{0.5, 0.5, 0, 0}).has_value());
  PopulationOptions options = with(2, Precision::f32);
  options.learning = true;
  EXPECT_FALSE(Population::create(model, options, *pool).has_value());
}

TEST(Population, TheRingKeepsTheLastUpdatesAndNothingOlder) {
  auto pool = ThreadPool::create(1);
  const auto model = random_model({.states = {6}, .observations = {9, 3}, .controls = {2}}, 20);
  auto options = with(2, Precision::f32);
  options.history = 4;
  options.history_beliefs = true;
  auto population = make(model, options, *pool);
  HistoryEntry entry;
  EXPECT_FALSE(population->history(0, 0, entry));
  std::vector<std::vector<float>> beliefs;
  for (uint16_t t = 0; t < 7; ++t) {
    ASSERT_TRUE(population->step(std::vector<uint16_t>{t, 2, 0, 0}).has_value());
    beliefs.emplace_back(population->belief(0).begin(), population->belief(0).end());
    for (uint32_t i = 0; i <= 4; ++i) {
      ASSERT_EQ(population->history(0, i, entry), i < 4 && i <= t) << t << ' ' << i;
      if (i >= 4 || i > t) continue;
      EXPECT_EQ(entry.step, static_cast<uint64_t>(t - i));
      EXPECT_EQ(entry.observation[0], t - i);
      EXPECT_EQ(entry.observation[1], 2);
      EXPECT_TRUE(std::equal(entry.belief.begin(), entry.belief.end(), beliefs[t - i].begin()));
      if (i == 0) {
        EXPECT_NEAR(entry.free_energy, population->free_energy()[0], 1e-3);
      }
    }
  }
}

TEST(Population, NamesTheAgentsThatAreSurprised) {
  auto pool = ThreadPool::create(1);
  GenerativeModel model;
  model.A = {Tensor({2, 2}, {0.99, 0.01, 0.01, 0.99})};
  model.B = {Tensor({2, 2, 1}, {0.99, 0.01, 0.01, 0.99})};
  model.D = {Tensor({2}, {0.99, 0.01})};
  auto population = make(complete(model).value(), with(3, Precision::f32), *pool);
  ASSERT_TRUE(population->step(std::vector<uint16_t>{0, 1, kNotObserved}).has_value());
  std::vector<uint32_t> slots;
  population->surprised(2.0F, slots);
  EXPECT_EQ(slots, std::vector<uint32_t>{1});
  EXPECT_NEAR(population->free_energy()[1], -std::log(0.99 * 0.01 + 0.01 * 0.99), 1e-5);
  EXPECT_NEAR(population->free_energy()[2], 0, 1e-6);
}

TEST(Population, AnAgentFitsItsBudgetOfBytes) {
  auto pool = ThreadPool::create(1);
  const auto model = random_model({.states = {32}, .observations = {32}, .controls = {4}}, 21);
  auto options = with(10'000, Precision::f32);
  options.history = 100;
  auto population = Population::create(model, options, *pool).value();
  EXPECT_LT(population->bytes().count / 10'000, 1024);
  options.history_beliefs = true;
  population = Population::create(model, options, *pool).value();
  EXPECT_LT(population->bytes().count / 10'000, 16 * 1024);
}

}  // namespace
}  // namespace skep::belief
