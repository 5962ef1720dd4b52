#pragma once
// What one step of a simulation looks like from outside: all that views, tables, plots and recordings know.

#include <cstdint>
#include <string>
#include <vector>

#include "scenario/scenario.h"
#include "scenario/world.h"

namespace skep::scenario {

struct AgentFrame {
  float x = 0;
  float y = 0;
  uint32_t coalition = 0;  // equal numbers share one
  int action = 0;          // joint, as the model numbers them
  float free_energy = 0;   // nats; 0 without a mind
  float reward = 0;
};

struct PopulationFrame {
  double reward = 0;          // mean per agent in this step
  double free_energy = 0;     // mean, nats
  double entropy = 0;         // mean, nats
  double agreement = 1;       // 1: all believe the same
  double activity = 0;        // share of agents whose belief moved
  double coalition_size = 1;  // mean size of the agents' coalitions
  std::vector<float> hidden;  // mean belief about what is hidden, per state
};

struct Frame {
  int64_t step = 0;                // completed steps, from 1
  std::vector<AgentFrame> agents;  // population after population
  std::vector<PopulationFrame> populations;
  std::vector<Mark> marks;
  int coalitions = 0;  // of two or more
  double coalition_value = 0;
};

// What does not change from frame to frame.
struct Stage {
  Scenario scenario;
  uint64_t seed = 0;
  std::vector<std::string> hidden_names;
};

}  // namespace skep::scenario
