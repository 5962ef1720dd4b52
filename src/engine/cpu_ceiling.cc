#include "engine/cpu_ceiling.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace skep::engine {

int CpuCeiling::most_threads() const { return std::max(1, static_cast<int>(std::ceil(total_ - 1e-9))); }

void CpuCeiling::others(double daemon, double engines, int at_work) {
  const double left = std::max(kLeast * total_, total_ - daemon);
  allowed_ = std::max(left - engines, left / (1 + at_work));
}

Duration CpuCeiling::used(double cpu_seconds, TimePoint now) {
  const double spent = std::max(0.0, cpu_seconds - std::exchange(used_, cpu_seconds));
  const TimePoint before = std::exchange(at_, now);
  if (!limited_ || before == TimePoint{}) return {};  // the first time says from where to count
  balance_ = std::min(balance_ + allowed_ * seconds(now - before) - spent, kBurst * allowed_);
  if (balance_ >= 0) return {};
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(-balance_ / allowed_));
}

}  // namespace skep::engine
