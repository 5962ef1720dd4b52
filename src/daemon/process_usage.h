#pragma once
// What this process and its engines use: memory as PSS, CPU as a share of all cores. Measured in the blocking pool once
// a second, and more often while somebody looks. Lives on the event loop.

#include <functional>
#include <vector>

#include "base/event_loop.h"
#include "base/units.h"

namespace skep::daemon {

class ProcessUsage {
 public:
  explicit ProcessUsage(EventLoop& loop);
  ~ProcessUsage();
  ProcessUsage(const ProcessUsage&) = delete;
  ProcessUsage& operator=(const ProcessUsage&) = delete;

  struct Sample {
    Bytes tree;              // PSS of this process and all its children
    Bytes itself;            // of this process alone
    double cpu_percent = 0;  // of all cores, since the last sample
    Bytes memory_total, memory_available;
  };
  [[nodiscard]] const Sample& last() const { return last_; }
  // For who looks again and again: the next look sees what is measured now, at most every 150 ms.
  void look();
  void on_sample(std::function<void(const Sample&)> heard) { heard_ = std::move(heard); }

 private:
  void measure();

  EventLoop& loop_;
  Sample last_;
  double cpu_seconds_ = 0;
  TimePoint measured_at_;
  TimerId timer_ = TimerId::none;  // none: a measurement is under way
  std::function<void(const Sample&)> heard_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::daemon
