#pragma once
// How a worker lives with the other processes of the machine (R7): looks once a second, lets the policies decide about
// threads, CPUs and niceness, carries it out on its own threads, and keeps what was changed, when and why for the
// heartbeat. How long threads spin at barriers is set before the worker starts (worker_environment.h).

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "engine/affinity_policy.h"
#include "engine/cpu_observer.h"
#include "engine/messages.h"
#include "engine/niceness_policy.h"
#include "engine/thread_policy.h"

namespace skep::engine {

class GoodNeighbour {
 public:
  static constexpr size_t kRemembered = 8;  // changes in the heartbeat

  // `threads`: at most. `set_threads`: null where the forward pass minds others by itself.
  GoodNeighbour(int threads, std::function<void(int)> set_threads);

  // Between steps; does something once a second. `stepping`: time spent in steps since the last call. `background`: all
  // that runs is background work.
  void look(Duration stepping, bool background);
  // Before a step of anything else.
  void urgent();

  void report(Heartbeat& heartbeat) const;

 private:
  void apply_cpus(const std::vector<int>& cpus);
  void apply_niceness(int niceness);
  void note(std::string setting, std::string to, std::string why);

  std::function<void(int)> set_threads_;
  SystemClock clock_;
  CpuObserver observer_;
  ThreadPolicy threads_;
  AffinityPolicy affinity_;
  NicenessPolicy niceness_;
  TimePoint looked_{};
  Duration stepping_{};
  std::deque<PolicyChange> changes_;
  int change_count_ = 0;
};

}  // namespace skep::engine
