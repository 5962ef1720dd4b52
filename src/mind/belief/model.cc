#include "mind/belief/model.h"

#include <cassert>
#include <limits>

namespace skep::belief {

int GenerativeModel::joint_actions() const {
  int n = 1;
  for (int controls : num_controls) n *= controls;
  return n;
}

int64_t GenerativeModel::joint_states() const {
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  int64_t n = 1;
  for (int states : num_states) {
    if (n > most / states) return most;
    n *= states;
  }
  return n;
}

JointAction GenerativeModel::unpack_action(int joint) const {
  assert(joint >= 0 && joint < joint_actions());
  JointAction action(num_controls.size());
  for (size_t f = num_controls.size(); f-- > 0;) {
    action[f] = joint % num_controls[f];
    joint /= num_controls[f];
  }
  return action;
}

int GenerativeModel::pack_action(const JointAction& action) const {
  assert(action.size() == num_controls.size());
  int joint = 0;
  for (size_t f = 0; f < action.size(); ++f) {
    assert(action[f] >= 0 && action[f] < num_controls[f]);
    joint = joint * num_controls[f] + action[f];
  }
  return joint;
}

std::vector<Policy> all_policies(const std::vector<int>& num_controls, int length) {
  const size_t factors = num_controls.size();
  std::vector<Policy> policies;
  std::vector<int> digits(factors * static_cast<size_t>(length), 0);
  for (;;) {
    Policy policy(static_cast<size_t>(length));
    for (size_t t = 0; t < policy.size(); ++t) {
      const auto first = digits.begin() + static_cast<std::ptrdiff_t>(t * factors);
      policy[t].assign(first, first + static_cast<std::ptrdiff_t>(factors));
    }
    policies.push_back(std::move(policy));
    size_t at = digits.size();
    while (at > 0 && ++digits[at - 1] == num_controls[(at - 1) % factors]) digits[--at] = 0;
    if (at == 0) return policies;
  }
}

std::vector<Policy> policies_of(const GenerativeModel& model) {
  return model.policies.empty() ? all_policies(model.num_controls, model.policy_length) : model.policies;
}

}  // namespace skep::belief
