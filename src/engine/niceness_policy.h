#pragma once
// How nice the worker is to other processes: a pure decision. Answers that somebody waits for are computed at the
// niceness that we were started with. While only background work runs and others want the cores, be it that ours wait
// or that theirs do, it steps back; the first more urgent sequence brings it forward again at once. Where the process
// may not lower its niceness again, it never raises it.

#include <optional>
#include <string>

#include "engine/thread_policy.h"

namespace skep::engine {

class NicenessPolicy {
 public:
  static constexpr int kNicer = 10;         // steps back: a ninth of the weight of those in front
  static constexpr double kCrowded = 0.15;  // our threads in the run queue, of the time that they wanted to run
  static constexpr double kPressed = 0.5;   // share of the time in which somebody waited for a core
  static constexpr double kRoom = 0.7;      // idle cores
  static constexpr int kIntervals = 3;      // in a row
  static constexpr int kBackIntervals = 10;

  // `start`: what we were given. `may_return`: lowering it again is permitted.
  NicenessPolicy(int start, bool may_return) : start_(start), niceness_(start), may_return_(may_return) {}

  struct Change {
    int niceness;
    std::string why;
  };
  // Once a second. `background`: work runs, and all of it is background.
  std::optional<Change> observe(const CpuSample& sample, bool background);
  // Before every step.
  std::optional<Change> urgent();

  [[nodiscard]] int niceness() const { return niceness_; }

 private:
  int start_, niceness_;
  bool may_return_;
  int crowded_ = 0, room_ = 0;  // intervals in a row
};

}  // namespace skep::engine
