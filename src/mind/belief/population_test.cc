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

std::unique_ptr<Population> make(const GenerativeModel& model, PopulationOptions options, ThreadPool& pool) {
  auto population = Population::create(model, options, pool);
  EXPECT_TRUE(population.has_value()) << population.error().text();
  for (uint32_t i = 0; i < options.capacity; ++i) EXPECT_TRUE((*population)->add().has_value());
  return std::move(*population);
}

std::vector<uint16_t> random_observations(Random& random, const GenerativeModel& model, uint32_t agents,
                                          bool gaps = false) {
  std::vector<uint16_t> observations;
  for (uint32_t i = 0; i < agents; ++i) {
    for (int n : model.num_obs) {
      observations.push_back(
          gaps && random.below(4) == 0 ? kNotObserved : static_cast<uint16_t>(random.below(static_cast<uint32_t>(n))));
    }
  }
  return observations;
}

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

PopulationOptions with(uint32_t capacity, Precision precision) {
  PopulationOptions o;
  o.capacity = capacity;
  o.precision = precision;
  return o;
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

// Packed rows through everything that a population does, against one whose rows are f32.
TEST(Population, PackedRowsStayWithinTheirBoundAndWithoutToleranceAreTheSame) {
  auto two = ThreadPool::create(2, Pinning::never);
  auto one = ThreadPool::create(1);
  const auto model = random_model(
      {.states = {4, 5}, .observations = {4, 3}, .controls = {2, 3}, .policy_length = 2, .mixing = 0.3}, 23);
  constexpr uint32_t agents = 1100;
  auto options = with(agents, Precision::f32);
  options.action_selection = ActionSelection::sampled;
  options.alpha = 1;
  options.seed = 3;
  auto plain = make(model, options, *two);
  options.tolerance = 0;
  auto exact = make(model, options, *two);
  options.tolerance = 0.02;
  auto packed = make(model, options, *two);
  auto alone = make(model, options, *one);
  EXPECT_TRUE(packed->belief(0).empty());
  Random random(4);
  std::vector<double> q(20), p(20);
  size_t in_bound = 0, off = 0;
  for (int t = 0; t < 6; ++t) {
    const auto observations = random_observations(random, model, agents, true);
    const std::vector<uint32_t> some{3, 1099, 512, 511};
    const std::vector<uint16_t> news{1, 0, 2, 1, kNotObserved, 2, 3, 0};
    const uint32_t gone = random.below(agents);
    const std::vector<uint16_t> before(plain->actions().begin(), plain->actions().end());
    for (Population* each : {plain.get(), exact.get(), packed.get(), alone.get()}) {
      each->set_actions(before);  // the same life for all
      ASSERT_TRUE(each->step(observations).has_value());
    }
    EXPECT_TRUE(std::equal(plain->actions().begin(), plain->actions().end(), exact->actions().begin()));
    EXPECT_TRUE(std::equal(packed->actions().begin(), packed->actions().end(), alone->actions().begin()));
    const std::vector<uint16_t> actions(plain->actions().begin(), plain->actions().end());
    for (Population* each : {plain.get(), exact.get(), packed.get(), alone.get()}) {
      each->set_actions(actions);
      ASSERT_TRUE(each->step_some(some, news).has_value());
      ASSERT_TRUE(each->remove(each->at(gone)).has_value());
      ASSERT_EQ(each->add().value().slot, gone);
      ASSERT_TRUE(each->set_belief(7, std::vector<double>(20, 0.05)).has_value());
    }
    for (uint32_t slot = 0; slot < agents; ++slot) {
      plain->copy_belief(slot, p);
      exact->copy_belief(slot, q);
      ASSERT_EQ(p, q) << slot;
      ASSERT_EQ(exact->error_bound(slot), 0);
      packed->copy_belief(slot, q);
      double error = 0, total = 0;
      for (size_t s = 0; s < 20; ++s) {
        error += std::abs(q[s] - p[s]);
        total += q[s];
      }
      ASSERT_NEAR(total, 1, 1e-5);
      ASSERT_LE(error, packed->error_bound(slot) + 2e-5) << slot << " in step " << t;
      in_bound += packed->error_bound(slot) < 0.5 ? 1 : 0;
      off += error > 1e-4 ? 1 : 0;
      std::vector<double> marginal(5), of_alone(20);
      packed->marginal(slot, 1, marginal);
      double expected = 0;
      for (size_t s = 0; s < 4; ++s) expected += q[s * 5 + 2];
      ASSERT_NEAR(marginal[2], expected, 1e-6);
      alone->copy_belief(slot, of_alone);
      ASSERT_EQ(q, of_alone) << "the number of threads changed something";
    }
  }
  EXPECT_GT(in_bound, agents) << "bounds that say nothing";
  EXPECT_GT(off, agents) << "nothing was packed";
  using Change = void (*)(PopulationOptions&);
  for (const auto& [change, name] : std::initializer_list<std::pair<Change, const char*>>{
           {[](PopulationOptions& o) { o.precision = Precision::f64; }, "f64"},
           {[](PopulationOptions& o) { o.own_models = true; }, "own_models"},
           {[](PopulationOptions& o) { o.backend = BackendKind::mean_field; }, "mean-field"},
           {[](PopulationOptions& o) {
              o.rows = RowStorage::edge;
              o.tolerance.reset();
            },
            "16 joint states"},
           {[](PopulationOptions& o) {
              o.tolerance = 0.001;
              o.file = "/tmp/never";
            },
            "0.0078125"}}) {
    auto other = options;
    change(other);
    const Error error = Population::create(model, other, *one).error();
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    EXPECT_NE(error.message.find(name), std::string::npos) << error.message;
    EXPECT_NE(error.hint.find(" rows"), std::string::npos) << error.hint;
  }
  options.capacity = 20'000;
  auto many = make(model, options, *one);
  options.tolerance.reset();
  EXPECT_LT(many->bytes().count, make(model, options, *one)->bytes().count * 7 / 10);
  options.tolerance = 0.6;
  EXPECT_EQ(Population::create(model, options, *one).error().code, ErrorCode::invalid_argument);
}

// The same life for a population of full rows and one of packed ones: how far they may be apart, and are.
struct Distance {
  double largest = 0;  // of two beliefs, L1
  double sum_of_bounds = 0;
  int close = 0;  // bounds below a half
  int compared = 0;
};
Distance live_beside_full_rows(const GenerativeModel& model, const PopulationOptions& options, ThreadPool& pool) {
  auto full = options;
  full.rows = RowStorage::full;
  full.tolerance.reset();
  auto plain = make(model, full, pool);
  auto packed = make(model, options, pool);
  Random random(12);
  std::vector<double> p(plain->belief_size()), q(p.size());
  Distance distance;
  for (int t = 0; t < 8; ++t) {
    const auto observations = random_observations(random, model, options.capacity, true);
    const std::vector<uint16_t> actions(plain->actions().begin(), plain->actions().end());
    for (Population* each : {plain.get(), packed.get()}) {
      each->set_actions(actions);
      EXPECT_TRUE(each->step(observations).has_value());
    }
    for (uint32_t slot = 0; slot < options.capacity; ++slot) {
      plain->copy_belief(slot, p);
      packed->copy_belief(slot, q);
      double error = 0;
      for (size_t s = 0; s < p.size(); ++s) error += std::abs(p[s] - q[s]);
      EXPECT_LE(error, packed->error_bound(slot) + 2e-5) << "slot " << slot << ", step " << t;
      distance.largest = std::max(distance.largest, error);
      distance.sum_of_bounds += packed->error_bound(slot);
      distance.close += packed->error_bound(slot) < 0.5 ? 1 : 0;
      ++distance.compared;
    }
  }
  return distance;
}

TEST(Population, EdgeRowsTakeAByteForEachStateAndStayWithinTheirBound) {
  auto pool = ThreadPool::create(2, Pinning::never);
  const auto model = random_model(
      {.states = {4, 4}, .observations = {3, 4}, .controls = {2, 2}, .policy_length = 2, .mixing = 0.7}, 41);
  auto options = with(700, Precision::f32);
  options.rows = RowStorage::edge;
  const Distance distance = live_beside_full_rows(model, options, *pool);
  EXPECT_GT(distance.largest, 1e-3) << "nothing was rounded";
  EXPECT_GT(distance.close, distance.compared / 20) << "bounds that say nothing";
  options.capacity = 20'000;
  auto edge = make(model, options, *pool);
  EXPECT_LT(edge->bytes().count, 20'000 * 80) << "16 bytes of belief, and what a population knows of an agent";
}

TEST(Population, SparseRowsStayWithinTheirBoundAndUnprunedOnesAreTheSame) {
  auto pool = ThreadPool::create(2, Pinning::never);
  // Twelve places that are seen, three that are guessed: beliefs sit on few of 36 joint states.
  GenerativeModel model;
  model.num_states = {12, 3};
  Tensor place({12, 12}), guess({2, 3}, {0.9, 0.5, 0.1, 0.1, 0.5, 0.9}), walk({12, 12, 2}), drift({3, 3, 1});
  for (int s = 0; s < 12; ++s) {
    place.at({s, s}) = 0.999;
    place.at({(s + 1) % 12, s}) = 0.001;
    walk.at({s, s, 0}) = 1;
    walk.at({(s + 1) % 12, s, 1}) = 0.95;
    walk.at({s, s, 1}) = 0.05;
  }
  for (int from = 0; from < 3; ++from)
    for (int to = 0; to < 3; ++to) drift.at({to, from, 0}) = to == from ? 0.8 : 0.1;
  model.A = {place, guess};
  model.A_factors = {{0}, {1}};
  model.B = {walk, drift};
  model.C = {Tensor({12}), Tensor({2}, {0, 1})};
  model.policy_length = 2;
  model = complete(std::move(model)).value();
  auto options = with(600, Precision::f32);
  options.rows = RowStorage::sparse;
  options.prune = 0;
  const Distance exact = live_beside_full_rows(model, options, *pool);
  EXPECT_EQ(exact.largest, 0);
  EXPECT_EQ(exact.sum_of_bounds, 0);
  options.prune = 1e-4;
  const Distance pruned = live_beside_full_rows(model, options, *pool);
  EXPECT_GT(pruned.largest, 0) << "nothing was dropped";
}

// A ring of packed beliefs holds what the rows held, in their own few bytes.
TEST(Population, PackedRowsHaveAHistoryOfBeliefsToo) {
  auto pool = ThreadPool::create(2, Pinning::never);
  const auto model = random_model({.states = {4, 4}, .observations = {3, 4}, .controls = {2, 2}, .mixing = 0.5}, 43);
  std::string folder = (std::filesystem::temp_directory_path() / "skep-history-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  for (const bool file : {false, true}) {
    for (const RowStorage rows : {RowStorage::edge, RowStorage::compact, RowStorage::sparse}) {
      auto options = with(600, Precision::f32);
      options.rows = rows;
      options.history = 3;
      options.history_beliefs = true;
      if (file) options.file = std::filesystem::path(folder) / std::to_string(static_cast<int>(rows));
      auto population = make(model, options, *pool);
      // Compact rows in memory take f32 where bytes don't do; the ring's are all of one kind.
      const double near = rows == RowStorage::compact ? 0.02 : 1e-6;
      Random random(8);
      std::vector<std::vector<double>> lived;  // of agent 599
      HistoryEntry entry;
      for (int t = 0; t < 5; ++t) {
        ASSERT_TRUE(population->step(random_observations(random, model, 600, true)).has_value());
        lived.emplace_back(16);
        population->copy_belief(599, lived.back());
      }
      if (file) {
        PopulationOptions again;
        again.file = options.file;
        population.reset();
        population = Population::open(again, *pool).value();
        EXPECT_TRUE(population->options().history_beliefs);
      }
      for (uint32_t i = 0; i < 3; ++i) {
        ASSERT_TRUE(population->history(599, i, entry));
        ASSERT_EQ(entry.belief.size(), 16u);
        double off = 0;
        for (size_t s = 0; s < 16; ++s) off += std::abs(static_cast<double>(entry.belief[s]) - lived[4 - i][s]);
        EXPECT_LE(off, near) << population->backend() << ", rows " << static_cast<int>(rows) << ", entry " << i;
      }
      EXPECT_FALSE(population->history(599, 3, entry));
    }
  }
  std::filesystem::remove_all(folder);
  auto options = with(1000, Precision::f32);
  options.history = 100;
  options.history_beliefs = true;
  const auto full = Population::create(model, options, *pool).value()->bytes().count;
  options.rows = RowStorage::edge;
  EXPECT_LT(Population::create(model, options, *pool).value()->bytes().count, full / 2);
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

// Else an agent would be wrong for ever where what it sees contradicts a rounded belief.
TEST(Population, APackedRowTakesTheLikelihoodWhereWhatIsSeenSeemsImpossible) {
  auto pool = ThreadPool::create(1);
  GenerativeModel model;
  model.A = {Tensor({2, 3}, {1, 0.5, 0, 0, 0.5, 1})};
  model.B = {Tensor({3, 3, 1}, {1, 0, 0, 0, 1, 0, 0, 0, 1})};
  model.D = {Tensor({3}, {0.9985, 0.001, 0.0005})};
  auto options = with(1, Precision::f32);
  options.tolerance = 0.01;
  auto packed = make(complete(model).value(), options, *pool);
  std::vector<double> q(3);
  packed->copy_belief(0, q);
  ASSERT_EQ(q, (std::vector<double>{1, 0, 0})) << "what is too small for a byte";
  EXPECT_NEAR(packed->error_bound(0), 0.003, 1e-6);
  ASSERT_TRUE(packed->step(std::vector<uint16_t>{1}).has_value());
  packed->copy_belief(0, q);
  EXPECT_NEAR(q[1], 1.0 / 3, 0.01);
  EXPECT_NEAR(q[2], 2.0 / 3, 0.01);
  EXPECT_EQ(packed->error_bound(0), 2);
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
