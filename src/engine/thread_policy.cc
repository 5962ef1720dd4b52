#include "engine/thread_policy.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

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

CpuObserver::Counters CpuObserver::read() {
  Counters c;
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    std::ifstream file(task.path() / "schedstat");  // ns on a core, ns in the run queue, slices
    double ran = 0;
    double waited = 0;
    if (file >> ran >> waited) {
      c.ran += ran * 1e-9;
      c.waited += waited * 1e-9;
    }
  }
  std::ifstream stat("/proc/stat");  // cpu user nice system idle iowait irq softirq steal, in ticks
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  if (stat >> cpu >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    c.idle = (idle + wait) / ticks;
    c.steal = steal / ticks;
  }
  return c;
}

CpuSample CpuObserver::sample(Duration stepping) {
  const Counters now = read();
  const TimePoint at = clock_.now();
  const double interval = seconds(at - at_);
  CpuSample sample;
  if (at_ != TimePoint{} && interval > 0) {
    const double ran = std::max(0.0, now.ran - last_.ran);
    // A stolen core is one that we wait for as well; half of it is ours at least, as we are who computes.
    const double waited = std::max(0.0, now.waited - last_.waited) + 0.5 * std::max(0.0, now.steal - last_.steal);
    sample.waited = ran + waited > 0 ? waited / (ran + waited) : 0;
    sample.idle_cores = std::max(0.0, now.idle - last_.idle) / interval;
    sample.stepping = seconds(stepping) > 0.5 * interval;
  }
  last_ = now;
  at_ = at;
  return sample;
}

}  // namespace skep::engine
