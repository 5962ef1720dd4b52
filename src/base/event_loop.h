#pragma once
// The one thread that owns the daemon's mutable state, as a seam: domain code posts and sets timers here and knows
// nothing of Asio. AsioEventLoop (asio_event_loop.h) is the real one; SimulatedEventLoop runs tests and the simulation
// in simulated time. Unless a comment says otherwise, everything is called on the loop's thread.

#include <cstdint>
#include <functional>

#include "base/clock.h"

namespace skep {

enum class TimerId : uint64_t { none = 0 };

class EventLoop {
 public:
  virtual ~EventLoop() = default;

  [[nodiscard]] virtual const Clock& clock() const = 0;

  // Runs `work` soon, after what is on the stack has returned. May be called from any thread.
  virtual void post(std::function<void()> work) = 0;

  // Runs `work` once after `delay`. The timer is gone once it ran; cancelling one that ran does nothing.
  virtual TimerId after(Duration delay, std::function<void()> work) = 0;
  virtual void cancel(TimerId timer) = 0;

  // Runs `work` on a small pool of threads for blocking calls, then `done` on the loop. Bounded: waits its turn.
  virtual void blocking(std::function<void()> work, std::function<void()> done) = 0;

  [[nodiscard]] TimePoint now() const { return clock().now(); }
};

}  // namespace skep
