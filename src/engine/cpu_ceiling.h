#pragma once
// How much of the machine's cores a worker may keep busy (LoadOptions::cpu_limit): a pure decision. The ceiling is for
// the daemon and all its engines together: what the others use is taken off it, but never more than leaves this one an
// equal share among those at work. What it may use fills a bucket; when a step has overdrawn it, the worker rests until
// it is even again. So over a second and more the use is what is allowed, however long steps are.

#include "base/clock.h"

namespace skep::engine {

class CpuCeiling {
 public:
  static constexpr double kBurst = 0.1;   // seconds' worth that the bucket holds
  static constexpr double kLeast = 0.05;  // of the ceiling is left to engines, whatever the daemon does

  // `limit`: share of `cores`, 0 … 1; 1: there is no ceiling.
  CpuCeiling(double limit, int cores) : total_(limit * cores), allowed_(total_), limited_(limit < 1) {}

  [[nodiscard]] bool limited() const { return limited_; }
  // More threads than this could not be busy at once.
  [[nodiscard]] int most_threads() const;
  // Cores that the daemon, and that its other engines, kept busy lately; so many of these were at work.
  void others(double daemon, double engines, int at_work);
  // This worker has used so many seconds of CPU in all by `now`: before and after each step. Returns for how long it
  // has to do nothing.
  Duration used(double cpu_seconds, TimePoint now);

  [[nodiscard]] double allowed() const { return allowed_; }  // cores

 private:
  double total_, allowed_;  // cores
  bool limited_;
  double balance_ = 0;  // CPU seconds
  double used_ = 0;     // in all, at `at_`
  TimePoint at_{};
};

}  // namespace skep::engine
