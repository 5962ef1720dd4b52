#include "mind/belief/policy_tree.h"

#include <algorithm>

namespace skep::belief {

PolicyTree policy_tree(const GenerativeModel& model) {
  PolicyTree tree;
  tree.nodes.emplace_back();
  const std::vector<Policy> policies = policies_of(model);
  tree.policies = policies.size();
  for (uint32_t p = 0; p < policies.size(); ++p) {
    uint32_t at = 0;
    tree.depth = std::max(tree.depth, static_cast<int>(policies[p].size()));
    tree.first_action.push_back(model.pack_action(policies[p].front()));
    for (const JointAction& step : policies[p]) {
      const int action = model.pack_action(step);
      const auto& next = tree.nodes[at].next;
      const auto found =
          std::find_if(next.begin(), next.end(), [&](uint32_t n) { return tree.nodes[n].action == action; });
      if (found != next.end()) {
        at = *found;
        continue;
      }
      const auto fresh = static_cast<uint32_t>(tree.nodes.size());
      tree.nodes[at].next.push_back(fresh);
      tree.nodes.emplace_back();
      tree.nodes.back().action = action;
      at = fresh;
    }
    tree.nodes[at].ends.push_back(p);
  }
  return tree;
}

}  // namespace skep::belief
