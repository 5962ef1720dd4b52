#include "mind/belief/action_choice.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "mind/belief/categorical.h"
#include "mind/belief/compiled_model.h"

namespace skep::belief {

uint16_t choose_action(std::span<std::vector<double>> marginals, ActionSelection selection, double alpha, double u) {
  assert(u >= 0 && u < 1);
  double share = u;
  size_t chosen = 0;
  for (std::vector<double>& p : marginals) {
    size_t action = 0;
    if (selection == ActionSelection::sampled) {
      for (double& x : p) x = alpha * std::log(x + kLogEpsilon);
      softmax(p.data(), p.size());
      action = draw(p.data(), p.size(), share);
      double below = 0;
      for (size_t a = 0; a < action; ++a) below += p[a];
      share = std::clamp((share - below) / std::max(p[action], 1e-300), 0.0, 0x1.fffffffffffffp-1);
    } else {
      action = select_highest(p.data(), p.size());
    }
    chosen = chosen * p.size() + action;
  }
  return static_cast<uint16_t>(chosen);
}

}  // namespace skep::belief
