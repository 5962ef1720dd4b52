#include "coalition/value.h"

#include <cassert>
#include <cmath>

namespace skep::coalition {
namespace {

class FunctionSynergy final : public PairSynergy {
 public:
  explicit FunctionSynergy(std::function<float(Agent, Agent)> weight) : weight_(std::move(weight)) {}
  void weigh(Agent agent, std::span<const Agent> with, std::span<float> out) const override {
    assert(with.size() == out.size());
    // The order of the arguments is fixed, so that a function that is not quite symmetric does no harm.
    for (size_t i = 0; i < with.size(); ++i) out[i] = weight_(std::min(agent, with[i]), std::max(agent, with[i]));
  }

 private:
  std::function<float(Agent, Agent)> weight_;
};

class FunctionValue final : public SetValue {
 public:
  explicit FunctionValue(std::function<double(std::span<const Agent>)> value) : value_(std::move(value)) {}
  [[nodiscard]] double value(std::span<const Agent> members) const override { return value_(members); }

 private:
  std::function<double(std::span<const Agent>)> value_;
};

}  // namespace

double CoordinationCost::of(size_t members) const {
  assert(exponent >= 1);
  const auto n = static_cast<double>(members);
  return factor * (std::pow(n, exponent) - n);
}

std::shared_ptr<const PairSynergy> pair_synergy(std::function<float(Agent, Agent)> weight) {
  return std::make_shared<FunctionSynergy>(std::move(weight));
}

std::shared_ptr<const SetValue> set_value(std::function<double(std::span<const Agent>)> value) {
  return std::make_shared<FunctionValue>(std::move(value));
}

double TaskCoverage::value(std::span<const Agent> members) const {
  Capabilities together = 0;
  for (const Agent agent : members) together |= of_agents_[agent];
  double reward = 0;
  for (const Task& task : tasks_)
    if ((task.needs & ~together) == 0) reward += task.reward;
  return reward;
}

}  // namespace skep::coalition
