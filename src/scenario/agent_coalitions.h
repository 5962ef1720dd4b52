#pragma once
// The coalitions of simulated agents: near each other and worth more together, by what they believe about the hidden
// part of the world. Kept incrementally while agents move and change their minds.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/random.h"
#include "coalition/formation.h"
#include "scenario/scenario.h"

namespace skep::scenario {

class AgentCoalitions {
 public:
  // `hidden`: how many states what is hidden has.
  static Result<AgentCoalitions> create(const CoalitionConfig& config, size_t hidden, int threads, uint64_t seed);

  // Where the agents are now, in the world's units, and each one's belief (hidden values per agent).
  Status update(std::span<const coalition::Position> positions, std::span<const float> beliefs);

  [[nodiscard]] uint32_t coalition_of(uint32_t agent) const { return formation_.coalition_of(agent); }
  [[nodiscard]] uint32_t size_of(uint32_t agent) const { return size_[agent]; }
  [[nodiscard]] int coalitions() const { return coalitions_; }  // of two or more
  [[nodiscard]] double value() const { return formation_.value(); }
  [[nodiscard]] const coalition::Formation& formation() const { return formation_; }

  // Passes on what is said (0: nothing) inside each coalition: heard[i] is what one of i's mates says, drawn at random
  // among those who speak, or 0.
  void pass_on(std::span<const uint16_t> said, Random& random, std::span<uint16_t> heard) const;

 private:
  class BeliefSynergy;
  // From the world's units to the grid's: the same on a plane, degrees on the earth.
  struct Projection {
    coalition::Position origin{0, 0};
    coalition::Position unit{1, 1};
    bool earth = false;
    [[nodiscard]] coalition::Position operator()(coalition::Position at) const;
  };
  static Projection projection_of(const CoalitionConfig& config);
  AgentCoalitions(coalition::Formation formation, std::shared_ptr<BeliefSynergy> synergy, size_t hidden,
                  const Projection& projection)
      : formation_(std::move(formation)), synergy_(std::move(synergy)), hidden_(hidden), projection_(projection) {}
  void count();

  coalition::Formation formation_;
  std::shared_ptr<BeliefSynergy> synergy_;
  size_t hidden_;
  Projection projection_;
  std::vector<coalition::Position> positions_;  // in the world's units
  std::vector<std::vector<uint32_t>> members_;  // of the coalitions of two or more
  std::vector<uint32_t> size_;                  // by agent
  int coalitions_ = 0;
};

}  // namespace skep::scenario
