#include "engine/niceness_policy.h"

#include <algorithm>

namespace skep::engine {

std::optional<NicenessPolicy::Change> NicenessPolicy::observe(const CpuSample& sample, bool background) {
  if (!may_return_ || !sample.stepping) return std::nullopt;
  if (niceness_ == start_) {
    const bool wanted = sample.waited > kCrowded || sample.pressure > kPressed;
    crowded_ = background && wanted ? crowded_ + 1 : 0;
    if (crowded_ < kIntervals) return std::nullopt;
    room_ = 0;
    niceness_ = std::min(19, start_ + kNicer);
    return Change{niceness_, "only background work runs, and others want the cores"};
  }
  room_ = sample.idle_cores > kRoom ? room_ + 1 : 0;
  if (room_ < kBackIntervals) return std::nullopt;
  crowded_ = 0;
  niceness_ = start_;
  return Change{niceness_, "nobody else wants the cores"};
}

std::optional<NicenessPolicy::Change> NicenessPolicy::urgent() {
  crowded_ = 0;
  if (niceness_ == start_) return std::nullopt;
  niceness_ = start_;
  return Change{niceness_, "more than background work runs"};
}

}  // namespace skep::engine
