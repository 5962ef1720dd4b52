// Populations that keep their rows packed, beside the same with full ones.

#include "mind/belief/packed_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "mind/belief/random_model.h"
#include "mind/belief/testing_population.h"

namespace skep::belief {
namespace {

using kernel::Pinning;
using kernel::ThreadPool;

// Packed rows through everything that a population does, against one whose rows are f32.
TEST(PackedRows, StayWithinTheirBoundAndWithoutToleranceAreTheSame) {
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

TEST(PackedRows, EdgeRowsTakeAByteForEachStateAndStayWithinTheirBound) {
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

TEST(PackedRows, SparseRowsStayWithinTheirBoundAndUnprunedOnesAreTheSame) {
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
TEST(PackedRows, HaveAHistoryOfBeliefsToo) {
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

// Else an agent would be wrong for ever where what it sees contradicts a rounded belief.
TEST(PackedRows, APackedRowTakesTheLikelihoodWhereWhatIsSeenSeemsImpossible) {
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

}  // namespace
}  // namespace skep::belief
