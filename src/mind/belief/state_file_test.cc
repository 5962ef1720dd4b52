// Restarts and crashes of a population with a state file.

#include "mind/belief/state_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "mind/belief/population.h"
#include "mind/belief/random_model.h"
#include "mind/belief/testing_population.h"

namespace skep::belief {
namespace {

namespace fs = std::filesystem;

class StateFileTest : public PopulationFileTest {
 protected:
  void overwrite(std::streamoff at, char value) const {
    std::fstream f(file(), std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(at);
    f.put(value);
  }
};

constexpr uint32_t kAgents = 700;

PopulationOptions options_for(const fs::path& file) {
  PopulationOptions o;
  o.capacity = kAgents;
  o.history = 5;
  o.history_beliefs = true;
  o.own_models = o.learning = true;
  o.action_selection = ActionSelection::sampled;
  o.alpha = 2;
  o.seed = 4;
  o.file = file;
  return o;
}

GenerativeModel model_for_tests() {
  return random_model({.states = {6}, .observations = {5}, .controls = {3}, .counts = true}, 31);
}

// Learning comes first in a step of a life: it is committed by itself.
void learn(Population& population, uint64_t step) {
  Random random(5000 + step);
  std::vector<uint16_t> observations;
  for (uint32_t i = 0; i < kAgents; ++i) observations.push_back(static_cast<uint16_t>(random.below(5)));
  EXPECT_TRUE(population.learn(observations).has_value());
}

// The rest of it, which depends on nothing but the number of the step: births, deaths, all that an agent can be told,
// whole and partial steps.
void live_on(Population& population, uint64_t step) {
  Random random(1000 + step);
  if (step % 5 == 1) {
    const uint32_t slot = random.below(kAgents);
    if (population.occupied(slot)) {
      EXPECT_TRUE(population.remove(population.at(slot)).has_value());
    }
  }
  if (step % 3 == 0) (void)population.add();
  if (step % 7 == 2) {
    const uint32_t slot = random.below(kAgents);
    if (population.occupied(slot)) {
      EXPECT_TRUE(population.set_belief(slot, std::vector<double>{0.5, 0.1, 0.1, 0.1, 0.1, 0.1}).has_value());
      EXPECT_TRUE(population.set_belief(slot, std::vector<double>{0.1, 0.1, 0.1, 0.1, 0.1, 0.5}).has_value());
    }
  }
  for (uint32_t slot = random.below(50); slot < kAgents; slot += 50) {
    if (population.occupied(slot)) population.set_action(slot, static_cast<uint16_t>(random.below(3)));
  }
  if (step % 4 == 3) {
    const auto other = random_model({.states = {6}, .observations = {5}, .controls = {3}}, step);
    const uint32_t slot = random.below(kAgents);
    if (population.occupied(slot)) {
      EXPECT_TRUE(population.set_own_model(slot, other.A, other.B).has_value());
    }
  }
  std::vector<uint16_t> observations;
  std::vector<uint32_t> some;
  std::vector<uint16_t> of_some;
  for (uint32_t i = 0; i < kAgents; ++i) {
    observations.push_back(static_cast<uint16_t>(random.below(5)));
    if (population.occupied(i) && i % 4 == step % 4) {
      some.push_back(i);
      of_some.push_back(observations.back());
    }
  }
  if (step % 2 == 0) {
    EXPECT_TRUE(population.step(observations).has_value());
  } else {
    EXPECT_TRUE(population.step_some(some, of_some).has_value());
  }
  if (step % 32 == 31) {
    EXPECT_TRUE(population.sync().has_value());
  }
}

void live(Population& population, uint64_t step) {
  learn(population, step);
  live_on(population, step);
}

void start(Population& population) {
  for (uint32_t i = 0; i < kAgents - 50; ++i) EXPECT_TRUE(population.add().has_value());
}

void expect_equal(const Population& a, const Population& b) {
  ASSERT_EQ(a.steps(), b.steps());
  ASSERT_EQ(a.size(), b.size());
  HistoryEntry left, right;
  for (uint32_t slot = 0; slot < kAgents; ++slot) {
    ASSERT_EQ(a.occupied(slot), b.occupied(slot)) << slot;
    if (!a.occupied(slot)) continue;
    ASSERT_EQ(a.at(slot), b.at(slot)) << slot;
    ASSERT_EQ(a.actions()[slot], b.actions()[slot]) << slot;
    ASSERT_EQ(a.free_energy()[slot], b.free_energy()[slot]) << slot;
    ASSERT_TRUE(std::equal(a.belief(slot).begin(), a.belief(slot).end(), b.belief(slot).begin())) << slot;
    for (uint32_t i = 0; i < 6; ++i) {
      const bool there = a.history(slot, i, left);
      ASSERT_EQ(there, b.history(slot, i, right)) << slot << ' ' << i;
      if (!there) continue;
      ASSERT_EQ(left.observation[0], right.observation[0]) << slot << ' ' << i;
      ASSERT_EQ(left.action, right.action);
      ASSERT_TRUE(std::equal(left.belief.begin(), left.belief.end(), right.belief.begin()));
    }
  }
}

TEST_F(StateFileTest, ARestartContinuesExactly) {
  auto pool = kernel::ThreadPool::create(2, kernel::Pinning::never);
  for (const ModelStorage storage : {ModelStorage::full, ModelStorage::bfloat16}) {
    fs::remove(file());
    const auto options = [&](const fs::path& at) {
      PopulationOptions o = options_for(at);
      o.own_storage = storage;
      return o;
    };
    auto reference = Population::create(model_for_tests(), options({}), *pool).value();
    start(*reference);
    {
      auto population = Population::create(model_for_tests(), options(file()), *pool).value();
      start(*population);
      for (uint64_t t = 0; t < 9; ++t) live(*population, t);
    }
    for (uint64_t t = 0; t < 9; ++t) live(*reference, t);
    auto population = Population::open(options_for(file()), *pool).value();
    EXPECT_EQ(population->options().own_storage, storage);
    expect_equal(*reference, *population);
    const std::vector<uint16_t> observations(kAgents, 3);
    for (uint64_t t = 9; t < 20; ++t) {
      if (t == 12) {
        ASSERT_TRUE(population->sync().has_value());
        population.reset();
        population = Population::open(options_for(file()), *pool).value();
      }
      live(*reference, t);
      live(*population, t);
      ASSERT_TRUE(reference->learn(observations).has_value());
      ASSERT_TRUE(population->learn(observations).has_value());
    }
    expect_equal(*reference, *population);
  }
}

// What was told to an agent that the next step leaves alone is part of that step all the same.
TEST_F(StateFileTest, AnActionSetBeforeAStepThatLeavesItsAgentAloneIsThereAfterwards) {
  auto pool = kernel::ThreadPool::create(1);
  for (const bool all_at_once : {false, true}) {
    fs::remove(file());
    auto reference = Population::create(model_for_tests(), options_for({}), *pool).value();
    auto population = Population::create(model_for_tests(), options_for(file()), *pool).value();
    for (Population* p : {reference.get(), population.get()}) {
      start(*p);
      ASSERT_TRUE(p->step(std::vector<uint16_t>(kAgents, 1)).has_value());
      const auto other = static_cast<uint16_t>((p->actions()[5] + 1) % 3);
      if (all_at_once) {
        std::vector<uint16_t> actions(p->actions().begin(), p->actions().end());
        actions[5] = other;
        p->set_actions(actions);
      } else {
        p->set_action(5, other);
      }
      ASSERT_TRUE(p->step_some(std::vector<uint32_t>{0}, std::vector<uint16_t>{2}).has_value());
    }
    population.reset();
    population = Population::open(options_for(file()), *pool).value();
    expect_equal(*reference, *population);
    for (Population* p : {reference.get(), population.get()}) {
      learn(*p, 1);
      live(*p, 2);
    }
    expect_equal(*reference, *population);
  }
}

// The transition that is learnt begins at the belief that was set, in a file as in memory.
TEST_F(StateFileTest, LearningAfterABeliefWasSetIsTheSameAsInMemory) {
  auto pool = kernel::ThreadPool::create(1);
  auto reference = Population::create(model_for_tests(), options_for({}), *pool).value();
  auto population = Population::create(model_for_tests(), options_for(file()), *pool).value();
  for (Population* p : {reference.get(), population.get()}) {
    start(*p);
    ASSERT_TRUE(p->step(std::vector<uint16_t>(kAgents, 1)).has_value());
    for (uint32_t slot = 0; slot < kAgents - 50; ++slot) {
      ASSERT_TRUE(p->set_belief(slot, std::vector<double>{0, 0, 0, 0, 0, 1}).has_value());
    }
    ASSERT_TRUE(p->step(std::vector<uint16_t>(kAgents, 2)).has_value());
    for (uint32_t slot = 0; slot < kAgents - 50; ++slot) p->set_action(slot, 0);
    learn(*p, 0);
    ASSERT_TRUE(p->step(std::vector<uint16_t>(kAgents, 3)).has_value());
  }
  expect_equal(*reference, *population);
}

// A life of packed rows and own habits; what live() does with learning and full rows.
void live_packed(Population& population, uint64_t step) {
  Random random(3000 + step);
  const uint32_t slot = random.below(kAgents);
  if (step % 3 == 0 && population.occupied(slot)) {
    EXPECT_TRUE(population.remove(population.at(slot)).has_value());
  }
  if (step % 4 == 0) {
    if (const auto added = population.add()) {
      EXPECT_TRUE(population.set_start(added->slot, {{0, 0.25, 0.25, 0, 0.5, 0}}).has_value());
      EXPECT_TRUE(population.set_habits(added->slot, std::vector<double>{0.1, 0.2, 0.7}).has_value());
    }
  }
  for (uint32_t other = random.below(40); other < kAgents; other += 40) {
    if (!population.occupied(other)) continue;
    EXPECT_TRUE(population.set_habits(other, std::vector<double>{0.6, 0.3, 0.1}).has_value());
    if (other % 2 == 0) {
      EXPECT_TRUE(population.set_belief(other, std::vector<double>{0.5, 0.1, 0.1, 0.1, 0.1, 0.1}).has_value());
    }
  }
  std::vector<uint16_t> observations, of_some;
  std::vector<uint32_t> some;
  for (uint32_t i = 0; i < kAgents; ++i) {
    observations.push_back(random.below(6) == 0 ? kNotObserved : static_cast<uint16_t>(random.below(5)));
    if (population.occupied(i) && i % 3 == step % 3) {
      some.push_back(i);
      of_some.push_back(observations.back());
    }
  }
  if (step % 2 == 0) {
    EXPECT_TRUE(population.step(observations).has_value());
  } else {
    EXPECT_TRUE(population.step_some(some, of_some).has_value());
  }
}

void expect_equal_packed(const Population& a, const Population& b) {
  ASSERT_EQ(a.steps(), b.steps());
  ASSERT_EQ(a.size(), b.size());
  std::vector<double> left(6), right(6);
  HistoryEntry first, second;
  for (uint32_t slot = 0; slot < kAgents; ++slot) {
    ASSERT_EQ(a.occupied(slot), b.occupied(slot)) << slot;
    if (!a.occupied(slot)) continue;
    ASSERT_EQ(a.actions()[slot], b.actions()[slot]) << slot;
    ASSERT_EQ(a.free_energy()[slot], b.free_energy()[slot]) << slot;
    a.copy_belief(slot, left);
    b.copy_belief(slot, right);
    ASSERT_EQ(left, right) << slot;
    ASSERT_NEAR(a.error_bound(slot), b.error_bound(slot), 1e-4) << slot;
    for (uint32_t i = 0; i < 5; ++i) {
      const bool there = a.history(slot, i, first);
      ASSERT_EQ(there, b.history(slot, i, second)) << slot << ' ' << i;
      if (there) {
        ASSERT_EQ(first.observation[0], second.observation[0]);
        ASSERT_EQ(first.action, second.action);
        ASSERT_TRUE(std::equal(first.belief.begin(), first.belief.end(), second.belief.begin(), second.belief.end()));
      }
    }
  }
}

PopulationOptions packed_options(const fs::path& file, RowStorage rows) {
  PopulationOptions o = options_for(file);
  o.own_models = o.learning = false;
  o.own_habits = true;
  o.rows = rows;
  return o;
}

// Bytes in memory and in a file are the same bytes. Compact rows are chosen otherwise in a file, and full ones are
// filtered in another order in memory: those are compared with a file that was never closed.
TEST_F(StateFileTest, PackedRowsAndOwnHabitsContinueExactly) {
  auto pool = kernel::ThreadPool::create(2, kernel::Pinning::never);
  for (const RowStorage rows : {RowStorage::edge, RowStorage::compact, RowStorage::full}) {
    fs::remove(file());
    fs::remove(folder_ / "undisturbed");
    const fs::path beside = rows == RowStorage::edge ? fs::path() : folder_ / "undisturbed";
    auto reference = Population::create(model_for_tests(), packed_options(beside, rows), *pool).value();
    auto population = Population::create(model_for_tests(), packed_options(file(), rows), *pool).value();
    start(*reference);
    start(*population);
    for (uint64_t t = 0; t < 24; ++t) {
      if (t % 5 == 4) {
        if (t == 14) {
          ASSERT_TRUE(population->sync().has_value());
        }
        population.reset();
        PopulationOptions other;
        other.file = file();
        other.action_selection = ActionSelection::sampled;
        other.alpha = 2;
        population = Population::open(other, *pool).value();
        EXPECT_TRUE(population->options().own_habits);
        EXPECT_FALSE(population->options().own_models);
        EXPECT_EQ(population->options().rows == RowStorage::full, rows == RowStorage::full);
      }
      live_packed(*reference, t);
      live_packed(*population, t);
      expect_equal_packed(*reference, *population);
      if (HasFatalFailure()) {
        ADD_FAILURE() << population->backend() << ", step " << t;
        return;
      }
    }
    if (rows == RowStorage::edge) {
      const uintmax_t packed = fs::file_size(file());
      fs::remove(file());
      auto full = Population::create(model_for_tests(), packed_options(file(), RowStorage::full), *pool).value();
      EXPECT_LT(packed, fs::file_size(file()));
    }
  }
}

// A step that never completed has packed rows on the other side: the last complete one is what counts.
TEST_F(StateFileTest, ATornStepOfPackedRowsIsForgotten) {
  auto pool = kernel::ThreadPool::create(1);
  auto reference = Population::create(model_for_tests(), packed_options({}, RowStorage::edge), *pool).value();
  start(*reference);
  for (uint64_t t = 0; t < 3; ++t) live_packed(*reference, t);
  {
    auto population = Population::create(model_for_tests(), packed_options(file(), RowStorage::edge), *pool).value();
    start(*population);
    for (uint64_t t = 0; t < 3; ++t) live_packed(*population, t);
  }
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // dies with changes that no step has committed
    auto own_pool = kernel::ThreadPool::create(1);
    auto population = Population::open(packed_options(file(), RowStorage::edge), *own_pool).value();
    for (uint32_t slot = 0; slot < kAgents; ++slot) {
      if (!population->occupied(slot)) continue;
      (void)population->set_belief(slot, std::vector<double>{0, 0, 0, 0, 0, 1});
      (void)population->set_habits(slot, std::vector<double>{1, 0, 0});
    }
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  auto survivor = Population::open(packed_options(file(), RowStorage::edge), *pool).value();
  expect_equal_packed(*reference, *survivor);
  for (uint64_t t = 3; t < 6; ++t) {
    live_packed(*reference, t);
    live_packed(*survivor, t);
  }
  expect_equal_packed(*reference, *survivor);
}

// The seal is of what is committed: what comes after it, and is lost with its process, is none of its business.
TEST_F(StateFileTest, ASealedStateOpensWhateverAStepThatNeverCompletedHasWritten) {
  auto pool = kernel::ThreadPool::create(1);
  for (const RowStorage rows : {RowStorage::full, RowStorage::edge, RowStorage::compact, RowStorage::sparse}) {
    for (uint64_t steps = 0; steps < 4; ++steps) {
      fs::remove(file());
      std::vector<std::vector<double>> sealed(kAgents);
      {
        auto population = Population::create(model_for_tests(), packed_options(file(), rows), *pool).value();
        start(*population);
        for (uint64_t t = 0; t < steps; ++t) live_packed(*population, t);
        if (steps > 0) {
          ASSERT_TRUE(population->remove(population->at(3)).has_value());
          ASSERT_TRUE(population->add().has_value());
        }
        ASSERT_TRUE(population->sync().has_value()) << "with changes that no step has committed";
        for (uint32_t slot = 4; slot < kAgents; ++slot) {
          if (!population->occupied(slot)) continue;
          sealed[slot].resize(6);
          population->copy_belief(slot, sealed[slot]);
          ASSERT_TRUE(population->set_belief(slot, std::vector<double>{0, 0.5, 0, 0, 0, 0.5}).has_value());
          ASSERT_TRUE(population->set_habits(slot, std::vector<double>{1, 0, 0}).has_value());
        }
      }
      for (int again = 0; again < 2; ++again) {  // opening clears the remains, which were not sealed either
        auto population = Population::open(packed_options(file(), rows), *pool);
        ASSERT_TRUE(population.has_value()) << population.error().text() << ", " << steps << " steps";
        EXPECT_EQ((*population)->size() > 0, steps > 0);
        std::vector<double> belief(6);
        for (uint32_t slot = 4; slot < kAgents && steps > 0; ++slot) {
          ASSERT_EQ((*population)->occupied(slot), !sealed[slot].empty());
          if (sealed[slot].empty()) continue;
          (*population)->copy_belief(slot, belief);
          ASSERT_EQ(belief, sealed[slot]) << slot;
        }
      }
    }
  }
}

// test/data/population/version-3: three edge agents' room, two of them alive after three steps, sealed.
TEST_F(StateFileTest, AFileOfVersion3Opens) {
  fs::copy_file(SKEP_TEST_DATA "/population/version-3", file());
  auto pool = kernel::ThreadPool::create(1);
  PopulationOptions options;
  options.file = file();
  {
    auto population = Population::open(options, *pool);
    ASSERT_TRUE(population.has_value()) << population.error().text();
    EXPECT_EQ((*population)->steps(), 3u);
    EXPECT_EQ((*population)->size(), 2u);
    EXPECT_EQ((*population)->options().rows, RowStorage::edge);
    EXPECT_TRUE((*population)->options().own_habits);
    std::vector<double> belief(3);
    (*population)->copy_belief(0, belief);
    EXPECT_NEAR(belief[0], 224.0 / 255, 1e-6);
    EXPECT_EQ((*population)->actions()[1], 1);
    EXPECT_NEAR((*population)->error_bound(1), 0.0731132, 1e-6);
    ASSERT_TRUE((*population)->step(std::vector<uint16_t>{0, 1, 0}).has_value());
    ASSERT_TRUE((*population)->sync().has_value());
  }
  EXPECT_EQ(Population::open(options, *pool).value()->steps(), 4u);
  overwrite(30, 9);
  EXPECT_EQ(Population::open(options, *pool).error().code, ErrorCode::corrupt) << "a header of its own time";
  overwrite(8, 1);
  const Error error = Population::open(options, *pool).error();
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_FALSE(error.hint.empty());
}

TEST_F(StateFileTest, ADeathAtAnyInstantLeavesTheLastCompleteStep) {
  auto pool = kernel::ThreadPool::create(1);
  Random random(static_cast<uint64_t>(getpid()));  // another instant in every run
  uint64_t most_steps = 0, died_learnt = 0;
  for (int round = 0; round < 25; ++round) {
    fs::remove(file());
    {
      auto population = Population::create(model_for_tests(), options_for(file()), *pool).value();
      start(*population);
      live(*population, 0);
    }
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto own_pool = kernel::ThreadPool::create(2, kernel::Pinning::never);
      auto population = Population::open(options_for(file()), *own_pool).value();
      for (uint64_t t = 1;; ++t) live(*population, t);
    }
    const uint32_t longest = most_steps > 3 ? 30'000 : 300'000;  // under a sanitizer a step takes its time
    std::this_thread::sleep_for(std::chrono::microseconds(500 + random.below(longest)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);

    uint64_t commits = 0;
    { commits = StateFile::open(file()).value().sequence(); }
    auto survivor = Population::open(options_for(file()), *pool);
    ASSERT_TRUE(survivor.has_value()) << survivor.error().text();
    const uint64_t steps = (*survivor)->steps();
    most_steps = std::max(most_steps, steps);
    // Making the file was the first commit; since then every step was one, and its learning another.
    const uint64_t extra = commits - 1 - 2 * steps;
    ASSERT_LE(extra, 1u);
    died_learnt += extra;
    auto reference = Population::create(model_for_tests(), options_for({}), *pool).value();
    start(*reference);
    for (uint64_t t = 0; t < steps; ++t) live(*reference, t);
    if (extra == 1) learn(*reference, steps);
    expect_equal(*reference, **survivor);
    // And life goes on.
    for (uint64_t t = steps; t < steps + 3; ++t) {
      for (Population* p : {reference.get(), survivor->get()}) {
        if (t > steps || extra == 0) learn(*p, t);
        live_on(*p, t);
      }
    }
    expect_equal(*reference, **survivor);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(most_steps, 3u) << "no child lived long enough to be killed in the middle of something";
  RecordProperty("died_between_learning_and_step", std::to_string(died_learnt));
}

TEST_F(StateFileTest, WhatATornStepLeftIsNotTakenForALaterOne) {
  auto pool = kernel::ThreadPool::create(1);
  {
    auto population = Population::create(model_for_tests(), options_for(file()), *pool).value();
    start(*population);
    live(*population, 0);
  }
  {
    // As if a step had died after some agents: sides with the next stamp, no commit.
    StateFile torn = StateFile::open(file()).value();
    for (uint32_t slot = 0; slot < kAgents; slot += 2) {
      const uint32_t other = torn.record(slot, 0)->stamp > torn.record(slot, 1)->stamp ? 1 : 0;
      torn.record(slot, other)->stamp = torn.sequence() + 1;
      torn.record(slot, other)->action = 2;
    }
  }
  auto reference = Population::create(model_for_tests(), options_for({}), *pool).value();
  start(*reference);
  live(*reference, 0);
  for (uint64_t t = 1; t < 6; ++t) {
    auto population = Population::open(options_for(file()), *pool).value();
    expect_equal(*reference, *population);
    live(*population, t);
    live(*reference, t);
  }
}

class Damage : public StateFileTest {
 protected:
  void SetUp() override {
    StateFileTest::SetUp();
    pool_ = kernel::ThreadPool::create(1);
    auto population = Population::create(model_for_tests(), options_for(file()), *pool_).value();
    start(*population);
    live(*population, 0);
    ASSERT_TRUE(population->sync().has_value());
  }
  [[nodiscard]] ErrorCode opened() {
    auto population = Population::open(options_for(file()), *pool_);
    EXPECT_FALSE(population.has_value());
    return population.has_value() ? ErrorCode::internal : population.error().code;
  }
  std::unique_ptr<kernel::ThreadPool> pool_;
};

TEST_F(Damage, OfTheHeaderIsFound) {
  overwrite(40, 77);
  EXPECT_EQ(opened(), ErrorCode::corrupt);
}

TEST_F(Damage, OfTheModelIsFound) {
  overwrite(4096 + 200, 77);
  EXPECT_EQ(opened(), ErrorCode::corrupt);
}

TEST_F(Damage, OfASealedBeliefIsFound) {
  size_t at = 0;
  {
    StateFile state = StateFile::open(file()).value();
    const uint32_t side = state.record(9, 1)->stamp > state.record(9, 0)->stamp ? 1 : 0;
    const uint32_t at_row = row_of(state.record(9, side)->flags);
    auto* row = state.beliefs() + (9 * state.layout().sides + at_row) * state.layout().stride * 4;
    row[2] ^= std::byte{0x10};
    at = 1;
  }
  ASSERT_EQ(at, 1u);
  EXPECT_EQ(opened(), ErrorCode::corrupt);
}

TEST_F(Damage, ByTruncationIsFound) {
  fs::resize_file(file(), fs::file_size(file()) - 4096);
  EXPECT_EQ(opened(), ErrorCode::corrupt);
  fs::resize_file(file(), 100);
  EXPECT_EQ(opened(), ErrorCode::corrupt);
}

TEST_F(Damage, OfTheNewestCommitFallsBackToTheOther) {
  // Both slots hold the sealed step now; one more step makes them differ.
  {
    auto population = Population::open(options_for(file()), *pool_).value();
    live(*population, 1);
    live(*population, 2);
  }
  uint64_t sequence = 0;
  { sequence = StateFile::open(file()).value().sequence(); }
  overwrite(static_cast<std::streamoff>(512 + (sequence % 2) * 32), 99);
  auto population = Population::open(options_for(file()), *pool_);
  ASSERT_TRUE(population.has_value());
  EXPECT_EQ((*population)->steps(), 2u);
}

TEST_F(Damage, OfANameIsAnErrorToo) {
  EXPECT_EQ(Population::open(options_for(folder_ / "nothing"), *pool_).error().code, ErrorCode::not_found);
  EXPECT_FALSE(Population::create(model_for_tests(), options_for(file()), *pool_).has_value()) << "overwrote a file";
  auto held = Population::open(options_for(file()), *pool_).value();
  EXPECT_FALSE(Population::open(options_for(file()), *pool_).has_value()) << "opened twice";
}

}  // namespace
}  // namespace skep::belief
