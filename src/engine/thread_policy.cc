#include "engine/thread_policy.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

namespace skep::engine {

std::optional<ThreadPolicy::Change> ThreadPolicy::observe(const CpuSample& sample) {
  ++since_increase_;
  if (!sample.stepping) {
    crowded_ = 0;
    return std::nullopt;
  }
  crowded_ = sample.waited > kCrowded ? crowded_ + 1 : 0;
  room_ = sample.waited <= kCrowded && sample.idle_cores > kRoom ? room_ + 1 : 0;
  if (crowded_ >= kCrowdedIntervals && threads_ > 1) {
    crowded_ = room_ = 0;
    // An increase that is taken back within as many intervals as it waited was a mistake.
    if (since_increase_ <= room_wanted_) room_wanted_ = std::min(2 * room_wanted_, kMostRoomIntervals);
    --threads_;
    return Change{threads_, fmt::format("threads waited {:.0f} % of their time for a core", 100 * sample.waited)};
  }
  if (room_ >= room_wanted_ && threads_ < most_) {
    if (since_increase_ > 4 * kMostRoomIntervals) room_wanted_ = kRoomIntervals;
    room_ = 0;
    since_increase_ = 0;
    ++threads_;
    return Change{threads_, fmt::format("{:.1f} cores stood idle", sample.idle_cores)};
  }
  return std::nullopt;
}

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace skep::engine
