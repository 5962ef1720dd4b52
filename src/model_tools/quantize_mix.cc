#include "model_tools/quantize_mix.h"

#include <algorithm>
#include <cassert>
#include <queue>

namespace skep::model_tools {
namespace {

// The choices on the lower convex hull, by growing bytes and falling error.
std::vector<size_t> hull_of(const std::vector<TypeChoice>& choices) {
  std::vector<size_t> order(choices.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return choices[a].bytes != choices[b].bytes ? choices[a].bytes < choices[b].bytes
                                                : choices[a].error < choices[b].error;
  });
  const auto slope = [&](size_t a, size_t b) {  // error saved per byte from a to b
    return (choices[a].error - choices[b].error) / static_cast<double>((choices[b].bytes - choices[a].bytes).count);
  };
  std::vector<size_t> hull;
  for (const size_t i : order) {
    if (!hull.empty() && choices[i].error >= choices[hull.back()].error) continue;  // dearer and no better
    while (hull.size() >= 2 && slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), i)) hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

struct Step {
  double slope = 0;
  size_t tensor = 0;
  size_t to = 0;  // position on the tensor's hull
  bool operator<(const Step& other) const {
    return slope != other.slope ? slope < other.slope : tensor > other.tensor;  // deterministic
  }
};

}  // namespace

Bytes smallest_mix(const std::vector<std::vector<TypeChoice>>& tensors) {
  Bytes sum;
  for (const auto& choices : tensors) {
    assert(!choices.empty());
    sum += std::min_element(choices.begin(), choices.end(), [](const auto& a, const auto& b) {
             return a.bytes < b.bytes;
           })->bytes;
  }
  return sum;
}

std::optional<std::vector<size_t>> choose_mix(const std::vector<std::vector<TypeChoice>>& tensors, Bytes budget) {
  Bytes used = smallest_mix(tensors);
  if (used > budget) return std::nullopt;
  std::vector<std::vector<size_t>> hulls;
  std::vector<size_t> at(tensors.size(), 0);  // positions on the hulls
  std::priority_queue<Step> steps;
  const auto offer = [&](size_t t) {
    const size_t next = at[t] + 1;
    if (next >= hulls[t].size()) return;
    const TypeChoice& from = tensors[t][hulls[t][at[t]]];
    const TypeChoice& to = tensors[t][hulls[t][next]];
    steps.push({(from.error - to.error) / static_cast<double>((to.bytes - from.bytes).count), t, next});
  };
  for (size_t t = 0; t < tensors.size(); ++t) {
    hulls.push_back(hull_of(tensors[t]));
    offer(t);
  }
  while (!steps.empty()) {
    const Step step = steps.top();
    steps.pop();
    const Bytes more = tensors[step.tensor][hulls[step.tensor][step.to]].bytes -
                       tensors[step.tensor][hulls[step.tensor][at[step.tensor]]].bytes;
    if (used + more > budget) continue;  // smaller steps of others may still fit
    used += more;
    at[step.tensor] = step.to;
    offer(step.tensor);
  }
  std::vector<size_t> chosen;
  for (size_t t = 0; t < tensors.size(); ++t) chosen.push_back(hulls[t][at[t]]);
  return chosen;
}

}  // namespace skep::model_tools
