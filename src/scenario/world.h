#pragma once
// A world that agents live in: what they can see, what their actions do, and the generative model by which they
// understand it. Every model has the same last parts, so that the simulation can treat worlds alike: the last factor is
// what is hidden and shared by all (where food is, how near the storm is, where the intruder is), and the last modality
// is what an agent hears from its coalition, 0 for nothing.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "coalition/grid.h"
#include "mind/belief/model.h"
#include "scenario/scenario.h"

namespace skep::scenario {

// Something on the map besides agents.
struct Mark {
  float x = 0;
  float y = 0;
  char symbol = ' ';
  bool strong = false;  // what matters now: the rich patch, the intruder
};

class World {
 public:
  virtual ~World() = default;

  // Complete and valid; policies of `horizon` steps.
  [[nodiscard]] virtual Result<belief::GenerativeModel> model(int horizon) const = 0;
  // Puts `agents` agents somewhere. Once, first.
  virtual void populate(size_t agents, Random& random) = 0;

  // What the agent sees: one outcome for each modality of the model but the last.
  virtual void observe(size_t agent, Random& random, std::span<uint16_t> out) = 0;
  // What the agent would tell the others after its last observation: an outcome of the last modality, 0 for nothing.
  [[nodiscard]] virtual uint16_t says(size_t agent) const = 0;
  virtual void act(size_t agent, int joint_action, Random& random) = 0;
  // The world's own move, after all agents have acted; rewards of the step count afterwards.
  virtual void advance(Random& random) = 0;

  [[nodiscard]] virtual double reward(size_t agent) const = 0;  // of the last step
  [[nodiscard]] virtual coalition::Position position(size_t agent) const = 0;
  [[nodiscard]] virtual std::vector<Mark> marks() const = 0;
  // What the states of the hidden factor are, for people.
  [[nodiscard]] virtual std::vector<std::string> hidden_names() const = 0;
};

// The config must be one that parse_scenario accepts.
std::unique_ptr<World> make_world(const WorldConfig& config);

// The worlds; make_world chooses.
std::unique_ptr<World> make_foraging(const WorldConfig& config);
std::unique_ptr<World> make_sensors(const WorldConfig& config);
std::unique_ptr<World> make_patrol(const WorldConfig& config);

}  // namespace skep::scenario
