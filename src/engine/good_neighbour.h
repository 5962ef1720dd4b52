#pragma once
// How a worker lives with the other processes of the machine (R7): looks once a second, lets the policies decide about
// threads, CPUs and niceness, carries it out on its own threads, and keeps what was changed, when and why for the
// heartbeat. How long threads spin at barriers our own forward pass decides (native/team.h), which is told here too;
// for libllama it is set before the worker starts (worker_environment.h).

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "engine/affinity_policy.h"
#include "engine/cpu_observer.h"
#include "engine/forward.h"
#include "engine/messages.h"
#include "engine/niceness_policy.h"
#include "engine/step_pace.h"
#include "engine/thread_policy.h"

namespace skep::engine {

class GoodNeighbour {
 public:
  static constexpr size_t kRemembered = 8;  // changes in the heartbeat
  static constexpr int kSpinLooks = 10;     // between two that tell of spinning: it moves all the time

  // `threads`: at most. `set_threads`: how many the next step runs on.
  GoodNeighbour(int threads, std::function<void(int)> set_threads);

  // What a step was: its tokens (0: there was none) and its time.
  struct Step {
    int tokens = 0;
    Duration took{};
    bool background = false;              // all that runs is background work
    std::optional<Forward::Waits> waits;  // Forward::waits()
  };
  // After each step; does something once a second.
  void look(const Step& step);
  // The part that decides and carries out, on what was seen in a second.
  void adapt(const MachineSample& seen, bool background);
  // Threads of the forward pass spin for so many turns now; `stalled`: share of the steps' time.
  void note_spin(int turns, double stalled);
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
  StepPace pace_;
  TimePoint looked_{};
  Duration stepping_{};  // since then
  Duration stalled_{};   // Waits::stalled then
  int spin_turns_ = 0;   // that were told last
  int looks_ = 0;
  std::deque<PolicyChange> changes_;
  int change_count_ = 0;
};

}  // namespace skep::engine
