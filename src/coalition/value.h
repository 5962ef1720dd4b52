#pragma once
// What a coalition is worth. A value function has three parts, of which two may be missing:
//
//   v(C) = Σ_{i<j in C, neighbours} w(i, j)  +  set(C)  −  cost(|C|)
//
// w is pairwise synergy, set any function of the members, cost what coordination takes. The built-in default of the
// field is synergy minus 0.5 (|C|^1.5 − |C|). Parts in w are evaluated in constant time per neighbour; `set` is called
// with lists of members for each move that is weighed, so it is what makes formation slow, if anything does.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace skep::coalition {

using Agent = uint32_t;  // the caller's number of an agent: 0, 1, …, without gaps

// w. Called from several threads at once: implementations don't change while a Formation uses them, except between two
// of its calls, which are then told of the agents that changed.
class PairSynergy {
 public:
  virtual ~PairSynergy() = default;
  // out[k] = w(agent, with[k]). Symmetric: w(a, b) = w(b, a), to the bit. Finite; negative is allowed.
  virtual void weigh(Agent agent, std::span<const Agent> with, std::span<float> out) const = 0;
};

// set. Same rules as PairSynergy. `members` come in no particular order, at least one.
class SetValue {
 public:
  virtual ~SetValue() = default;
  [[nodiscard]] virtual double value(std::span<const Agent> members) const = 0;
};

// cost(n) = factor (n^exponent − n), exponent ≥ 1: convex, nothing for an agent alone.
struct CoordinationCost {
  double factor = 0.5;
  double exponent = 1.5;
  [[nodiscard]] double of(size_t members) const;
};

struct ValueFunction {
  std::shared_ptr<const PairSynergy> synergy;  // null: no synergy
  std::shared_ptr<const SetValue> set;         // null: nothing
  CoordinationCost cost;
};

// A synergy or a set value from a function, for what is user-defined.
std::shared_ptr<const PairSynergy> pair_synergy(std::function<float(Agent, Agent)> weight);
std::shared_ptr<const SetValue> set_value(std::function<double(std::span<const Agent>)> value);

// Coverage of tasks by capabilities: a task pays its reward to a coalition that together has every capability it needs.
class TaskCoverage final : public SetValue {
 public:
  using Capabilities = uint64_t;  // one bit each
  struct Task {
    Capabilities needs = 0;
    double reward = 0;
  };
  TaskCoverage(std::vector<Capabilities> of_agents, std::vector<Task> tasks)
      : of_agents_(std::move(of_agents)), tasks_(std::move(tasks)) {}
  [[nodiscard]] double value(std::span<const Agent> members) const override;

 private:
  std::vector<Capabilities> of_agents_;
  std::vector<Task> tasks_;
};

}  // namespace skep::coalition
