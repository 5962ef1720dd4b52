#pragma once
// The seam to time. Production reads the system's clocks; tests and the simulation advance time by hand.

#include <chrono>

namespace skep {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;  // for intervals
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;   // for stamps

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;  // monotonic
  [[nodiscard]] virtual WallTime wall() const = 0;  // since the epoch, UTC
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] WallTime wall() const override { return std::chrono::system_clock::now(); }
};

class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override {
    return WallTime(now_.time_since_epoch()) + std::chrono::hours(24 * 365 * 55);
  }
  void advance(Duration by) { now_ += by; }

 private:
  TimePoint now_{};
};

inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace skep
