#pragma once
// Carries out the ceiling on CPU use (cpu_ceiling.h): reads what this process, the daemon and its other children have
// used, and says how long the worker has to rest. Where /proc does not tell of the others, they count as idle.

#include <map>

#include "base/clock.h"
#include "engine/cpu_ceiling.h"
#include "engine/messages.h"

namespace skep::engine {

class CpuPacer {
 public:
  CpuPacer(double limit, int cores) : ceiling_(limit, cores) {}

  [[nodiscard]] int most_threads() const { return ceiling_.most_threads(); }
  // After each step; looks at the others once a second.
  void look();
  // From now on, until the next step may begin.
  [[nodiscard]] Duration rest() const { return std::max(Duration::zero(), rest_until_ - clock_.now()); }
  void report(Heartbeat& heartbeat) const;

 private:
  void look_at_others(Duration since);

  CpuCeiling ceiling_;
  SystemClock clock_;
  TimePoint looked_{}, rest_until_{};
  double used_then_ = 0;  // CPU seconds at looked_
  double busy_ = 0;       // cores, over the last second
  Duration rested_{};
  std::map<int, double> others_;  // CPU seconds by process, at looked_
};

}  // namespace skep::engine
