#pragma once
// Coalitions of agents that are near each other, kept good while they move. Promise B5.
//
//   Formation formation(Grid::earth(9).value(), {pair_synergy(…), nullptr, {}}, {.threads = 2});
//   formation.rebuild(positions);                  // from nothing: O(n log n)
//   formation.update(moves, changed);              // only what moved and what is around it
//   formation.improve({.evaluations = 1'000'000}); // as much better as there is time for
//
// After each call the coalitions are individually stable: no agent's leaving alone would raise the total value, and the
// payoffs (payoff.h) give nobody less than it is worth alone. The same calls give the same coalitions, whatever the
// number of threads. One thread calls at a time.

#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "coalition/grid.h"
#include "coalition/payoff.h"
#include "coalition/value.h"

namespace skep::coalition {

struct FormationOptions {
  int threads = 1;    // 0: one per CPU of this process
  uint64_t seed = 1;  // of the kicks
};

// How long improve() may take: the first bound that is reached ends it. Evaluations (of one agent, about 0.1 µs each)
// are repeatable, a deadline is not.
struct Budget {
  uint64_t evaluations = 0;
  const Clock* clock = nullptr;  // null: no deadline
  TimePoint deadline{};
};

class Formation {
 public:
  static constexpr size_t most_agents = 1 << 24;

  Formation(Grid grid, ValueFunction value, FormationOptions options = {});
  ~Formation();
  Formation(Formation&&) noexcept;
  Formation& operator=(Formation&&) noexcept;

  // Starts over: agent i is at positions[i]. invalid_argument names the agent whose position is none.
  Status rebuild(std::span<const Position> positions);

  struct Move {
    Agent agent = 0;
    Position to;
  };
  // Agents that moved, and agents whose synergies changed otherwise. Nothing happens when it fails. The value function
  // must already answer as it will from now on.
  Status update(std::span<const Move> moves, std::span<const Agent> changed = {});

  // Searches on, by kicks out of the local optimum, and keeps what is better. Returns what the total gained.
  double improve(const Budget& budget);

  [[nodiscard]] size_t agents() const;
  [[nodiscard]] double value() const;  // of all coalitions together
  // A number in [0, agents()) that two agents share if and only if they are in one coalition.
  [[nodiscard]] uint32_t coalition_of(Agent agent) const;
  [[nodiscard]] std::vector<Agent> members(uint32_t coalition) const;
  [[nodiscard]] double value(uint32_t coalition) const;
  // All coalitions' numbers, in the order of their first agents' places.
  [[nodiscard]] std::vector<uint32_t> coalitions() const;
  // Who the agent could cooperate with, and the synergy.
  struct Neighbour {
    Agent agent = 0;
    float synergy = 0;
  };
  [[nodiscard]] std::vector<Neighbour> neighbours(Agent agent) const;
  // Shapley values of the members, in the order of members(), moved as little as it takes that nobody gets less than
  // alone (payoff.h).
  [[nodiscard]] std::vector<double> payoffs(uint32_t coalition, const ShapleyOptions& options = {}) const;
  // What the total would gain by the agent's leaving alone; never above rounding.
  [[nodiscard]] double gain_of_leaving(Agent agent) const;

 private:
  struct Impl;
  class Update;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::coalition
