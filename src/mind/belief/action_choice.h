#pragma once
// From what is believed best for each factor to one action. Internal to mind/belief.

#include <cstdint>
#include <span>
#include <vector>

#include "mind/belief/agent.h"

namespace skep::belief {

// `marginals`: for each factor a distribution over its actions; used up. Deterministic: the likeliest of each. Sampled:
// one of softmax(alpha ln p), and one number u in [0, 1) draws for all factors, digit by digit. The joint action, as
// GenerativeModel::pack_action.
uint16_t choose_action(std::span<std::vector<double>> marginals, ActionSelection selection, double alpha, double u);

}  // namespace skep::belief
