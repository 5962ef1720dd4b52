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

namespace skep::belief {
namespace {

namespace fs = std::filesystem;

class StateFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep-state-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] fs::path file() const { return folder_ / "population"; }
  fs::path folder_;
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

// One step of a life that depends on nothing but the number of the step: births, deaths, partial steps, learning.
void live(Population& population, uint64_t step) {
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
  auto reference = Population::create(model_for_tests(), options_for({}), *pool).value();
  start(*reference);
  {
    auto population = Population::create(model_for_tests(), options_for(file()), *pool).value();
    start(*population);
    for (uint64_t t = 0; t < 9; ++t) live(*population, t);
  }
  for (uint64_t t = 0; t < 9; ++t) live(*reference, t);
  auto population = Population::open(options_for(file()), *pool).value();
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

TEST_F(StateFileTest, ADeathAtAnyInstantLeavesTheLastCompleteStep) {
  auto pool = kernel::ThreadPool::create(1);
  Random random(static_cast<uint64_t>(getpid()));  // another instant in every run
  uint64_t most_steps = 0;
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

    auto survivor = Population::open(options_for(file()), *pool);
    ASSERT_TRUE(survivor.has_value()) << survivor.error().text();
    const uint64_t steps = (*survivor)->steps();
    most_steps = std::max(most_steps, steps);
    auto reference = Population::create(model_for_tests(), options_for({}), *pool).value();
    start(*reference);
    for (uint64_t t = 0; t < steps; ++t) live(*reference, t);
    expect_equal(*reference, **survivor);
    // And life goes on.
    for (uint64_t t = steps; t < steps + 3; ++t) {
      live(*reference, t);
      live(**survivor, t);
    }
    expect_equal(*reference, **survivor);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(most_steps, 3u) << "no child lived long enough to be killed in the middle of something";
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
  void overwrite(std::streamoff at, char value) {
    std::fstream f(file(), std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(at);
    f.put(value);
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
    auto* row = state.beliefs() + (9 * 2 + side) * state.layout().stride * 4;
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
