#include "base/simulated_event_loop.h"

#include <algorithm>
#include <cassert>

namespace skep {

TimerId SimulatedEventLoop::after(Duration delay, std::function<void()> work) {
  uint64_t id = next_++;
  timers_.emplace(std::pair(clock_.now() + std::max(delay, Duration::zero()), id), std::move(work));
  return static_cast<TimerId>(id);
}

void SimulatedEventLoop::cancel(TimerId timer) {
  std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == static_cast<uint64_t>(timer); });
}

void SimulatedEventLoop::blocking(std::function<void()> work, std::function<void()> done) {
  post([work = std::move(work), done = std::move(done), this] {
    work();
    post(done);
  });
}

void SimulatedEventLoop::run_ready(size_t most) {
  while (!ready_.empty()) {
    assert(most-- > 0 && "work posts work without end");
    (void)most;
    auto work = std::move(ready_.front());
    ready_.pop_front();
    work();
  }
}

void SimulatedEventLoop::advance(Duration by) {
  TimePoint until = clock_.now() + by;
  run_ready();
  while (!timers_.empty() && timers_.begin()->first.first <= until) advance_to_next_timer();
  clock_.advance(until - clock_.now());
}

bool SimulatedEventLoop::advance_to_next_timer() {
  run_ready();
  if (timers_.empty()) return false;
  auto node = timers_.extract(timers_.begin());
  if (node.key().first > clock_.now()) clock_.advance(node.key().first - clock_.now());
  node.mapped()();
  run_ready();
  return true;
}

}  // namespace skep
