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
  if (trial_ > 0) return judge(sample);
  const double bearable = sample.stalled ? std::max(kCrowded, 1.0 / threads_) : kCrowded;
  const bool crowded = sample.stalled.value_or(sample.waited) > bearable;
  crowded_ = crowded ? crowded_ + 1 : 0;
  crowded_pace_ = crowded ? crowded_pace_ + sample.pace : 0;
  room_ = !crowded && sample.idle_cores > kRoom ? room_ + 1 : 0;
  if (crowded_ >= crowded_wanted_ && threads_ > 1) return take_one_away(sample);
  if (room_ >= room_wanted_ && threads_ < most_) {
    if (since_increase_ > 4 * kMostRoomIntervals) room_wanted_ = kRoomIntervals;
    room_ = 0;
    since_increase_ = 0;
    ++threads_;
    return Change{threads_, fmt::format("{:.1f} cores stood idle", sample.idle_cores)};
  }
  return std::nullopt;
}

ThreadPolicy::Change ThreadPolicy::take_one_away(const CpuSample& sample) {
  // An increase that is taken back within as many intervals as it waited was a mistake.
  if (since_increase_ <= room_wanted_) room_wanted_ = std::min(2 * room_wanted_, kMostRoomIntervals);
  pace_before_ = crowded_pace_ / crowded_;
  trial_ = pace_before_ > 0 ? kTrialIntervals : 0;  // else there is nothing to judge by
  trial_pace_ = crowded_pace_ = 0;
  crowded_ = room_ = 0;
  --threads_;
  return {threads_, sample.stalled
                        ? fmt::format("steps stalled for {:.0f} % of their time", 100 * *sample.stalled)
                        : fmt::format("threads waited {:.0f} % of their time for a core", 100 * sample.waited)};
}

std::optional<ThreadPolicy::Change> ThreadPolicy::judge(const CpuSample& sample) {
  trial_pace_ += sample.pace;
  if (--trial_ > 0) return std::nullopt;
  const double pace = trial_pace_ / kTrialIntervals;
  if (pace <= kSlower * pace_before_) {
    crowded_wanted_ = kCrowdedIntervals;
    return std::nullopt;
  }
  crowded_wanted_ = std::min(2 * crowded_wanted_, kMostCrowdedIntervals);
  ++threads_;
  return Change{threads_, fmt::format("steps took {:.1f} times as long with one less", pace / pace_before_)};
}

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace skep::engine
