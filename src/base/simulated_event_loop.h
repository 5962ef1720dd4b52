#pragma once
// An EventLoop whose time moves only when a test says so. Single-threaded, deterministic: timers run in order of due
// time, then of creation; posted work runs in order.

#include <deque>
#include <map>
#include <utility>

#include "base/event_loop.h"

namespace skep {

class SimulatedEventLoop final : public EventLoop {
 public:
  [[nodiscard]] const Clock& clock() const override { return clock_; }
  void post(std::function<void()> work) override { ready_.push_back(std::move(work)); }
  TimerId after(Duration delay, std::function<void()> work) override;
  void cancel(TimerId timer) override;
  void blocking(std::function<void()> work, std::function<void()> done) override;

  // Runs everything that is ready now, without moving time. Bounded by `most` to find endless loops.
  void run_ready(size_t most = 1'000'000);
  // Moves time forward by `by`, running every timer that falls due on the way.
  void advance(Duration by);
  // Moves to the next timer and runs it; false if there is none.
  bool advance_to_next_timer();

 private:
  ManualClock clock_;
  std::deque<std::function<void()>> ready_;
  std::map<std::pair<TimePoint, uint64_t>, std::function<void()>> timers_;  // by (due, id)
  uint64_t next_ = 1;
};

}  // namespace skep
