#include "engine/affinity_policy.h"

#include <fmt/format.h>

#include <algorithm>

namespace skep::engine {

std::optional<AffinityPolicy::Change> AffinityPolicy::observe(const std::vector<CpuUse>& use, int threads,
                                                              double waited, bool stepping) {
  const auto needed = static_cast<size_t>(std::max(1, threads));
  if (restricted()) {
    ++kept_;
    if (needed > cpus_.size()) return back(fmt::format("{} threads run", threads));
    if (!stepping) return std::nullopt;
    const bool intruded = std::any_of(use.begin(), use.end(), [&](const CpuUse& u) {
      return u.others > kTaken && std::find(cpus_.begin(), cpus_.end(), u.cpu) != cpus_.end();
    });
    unfit_ = intruded || waited > kWaited ? unfit_ + 1 : 0;
    if (unfit_ < kBackIntervals) return std::nullopt;
    return back(intruded ? "others came to our CPUs"
                         : fmt::format("threads waited {:.0f} % of their time for them", 100 * waited));
  }
  std::vector<int> calm;
  bool taken = false;
  for (const CpuUse& u : use) {
    taken |= u.others > kTaken;
    if (u.others < kFree) calm.push_back(u.cpu);
  }
  const bool would_fit = stepping && taken && needed < allowed_.size() && calm.size() >= needed;
  taken_ = would_fit ? taken_ + 1 : 0;
  if (taken_ < wanted_) return std::nullopt;
  taken_ = unfit_ = kept_ = 0;
  cpus_ = std::move(calm);
  return Change{cpus_, "other processes keep to the rest"};
}

AffinityPolicy::Change AffinityPolicy::back(std::string why) {
  // Left for no longer than we waited to leave them: that was a mistake.
  wanted_ = kept_ <= 2 * wanted_ ? std::min(2 * wanted_, kMostIntervals) : kIntervals;
  taken_ = unfit_ = 0;
  cpus_ = allowed_;
  return {cpus_, std::move(why)};
}

std::string to_string(const std::vector<int>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", cpus[i]);
    if (last > i) text += fmt::format("-{}", cpus[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace skep::engine
