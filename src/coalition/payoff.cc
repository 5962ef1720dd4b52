#include "coalition/payoff.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "base/random.h"

namespace skep::coalition {

std::vector<double> shapley(std::span<const Agent> members, const Worth& worth, const ShapleyOptions& options) {
  assert(options.samples > 0);
  std::vector<double> sum(members.size(), 0);
  std::vector<size_t> order(members.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<Agent> here;
  Random random(options.seed);
  const auto walk = [&](auto begin, auto end) {
    here.clear();
    double before = 0;
    for (auto at = begin; at != end; ++at) {
      here.push_back(members[*at]);
      const double after = worth(here);
      sum[*at] += after - before;
      before = after;
    }
  };
  for (uint32_t sample = 0; sample < options.samples; ++sample) {
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(static_cast<uint32_t>(i))]);
    walk(order.begin(), order.end());
    walk(order.rbegin(), order.rend());  // who came late comes early: most of the variance cancels
  }
  for (double& value : sum) value /= 2.0 * options.samples;
  return sum;
}

// x_i = max(floor_i, value_i − t), with the t ≥ 0 that makes the sum right. Members fall to their floors in the order
// of value − floor, so t is found by going through them in that order.
std::vector<double> imputation(std::span<const double> values, std::span<const double> floors) {
  assert(values.size() == floors.size());
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return values[a] - floors[a] < values[b] - floors[b]; });
  double missing = 0, t = 0;  // what those on their floors have got beyond their values
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t member = order[i];
    t = missing / static_cast<double>(order.size() - i);  // taken from each of the others
    if (values[member] - t >= floors[member]) break;
    missing += floors[member] - values[member];
  }
  std::vector<double> shares(values.size());
  for (size_t i = 0; i < shares.size(); ++i) shares[i] = std::max(floors[i], values[i] - t);
  return shares;
}

}  // namespace skep::coalition
