#pragma once
// Reads from /proc what the policies decide by: run-queue waits of this process's threads, and by CPU the idle time,
// the steal and what others ran there, and the pressure on all CPUs. Where something is not to be had, samples say that
// all is well.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "engine/affinity_policy.h"
#include "engine/thread_policy.h"

namespace skep::engine {

struct MachineSample {
  CpuSample threads;
  std::vector<CpuUse> cpus;  // of those that this process was given
};

class CpuObserver {
 public:
  CpuObserver();
  // Of the time since the last call; `stepping` of it was spent in steps.
  MachineSample sample(Duration stepping);
  [[nodiscard]] const std::vector<int>& allowed() const { return allowed_; }

 private:
  struct Thread {
    double ran = 0, waited = 0;  // seconds
    int cpu = -1;                // where it ran last
  };
  struct Core {
    double busy = 0, idle = 0, steal = 0;  // seconds
  };
  struct Counters {
    std::map<std::string, Thread> threads;  // by their id
    std::map<int, Core> cores;
    std::optional<double> pressed;  // seconds in which somebody waited for a core
  };
  static Counters read();

  std::vector<int> allowed_;
  Counters last_;
  TimePoint at_{};
  SystemClock clock_;
};

// The seconds of /proc/pressure/cpu in which some task waited for a core. Nothing: that is not its text.
std::optional<double> pressed_seconds(std::string_view text);

}  // namespace skep::engine
