#pragma once
// What tests of populations begin with.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernel/thread_pool.h"
#include "mind/belief/population.h"

namespace skep::belief {

// Full of agents.
inline std::unique_ptr<Population> make(const GenerativeModel& model, PopulationOptions options,
                                        kernel::ThreadPool& pool) {
  auto population = Population::create(model, options, pool);
  EXPECT_TRUE(population.has_value()) << population.error().text();
  for (uint32_t i = 0; i < options.capacity; ++i) EXPECT_TRUE((*population)->add().has_value());
  return std::move(*population);
}

// Of every agent and modality; `gaps`: some are not observed.
inline std::vector<uint16_t> random_observations(Random& random, const GenerativeModel& model, uint32_t agents,
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

inline PopulationOptions with(uint32_t capacity, Precision precision) {
  PopulationOptions o;
  o.capacity = capacity;
  o.precision = precision;
  return o;
}

// A folder of its own for each test, gone with it, and in it a place for a population's file.
class PopulationFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "skep-population-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::filesystem::path file() const { return folder_ / "population"; }

  std::filesystem::path folder_;
};

}  // namespace skep::belief
