#pragma once
// Policies as a tree of joint actions, so that a shared beginning is rolled out once. Internal to mind/belief.

#include <cstdint>
#include <vector>

#include "mind/belief/model.h"

namespace skep::belief {

struct PolicyTree {
  struct Node {
    int action = 0;              // joint
    std::vector<uint32_t> next;  // children
    std::vector<uint32_t> ends;  // policies that are complete here
  };
  std::vector<Node> nodes;  // nodes[0] is the root, without an action
  int depth = 0;
  size_t policies = 0;
  std::vector<int> first_action;  // joint, per policy
};

PolicyTree policy_tree(const GenerativeModel& model);

}  // namespace skep::belief
