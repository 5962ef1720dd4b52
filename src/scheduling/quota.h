#pragma once
// A token bucket: tokens per minute with a burst of one minute's worth. Pure; time comes in. It may go into debt,
// because what a task really costs is known only at its end.

#include <algorithm>
#include <cassert>

#include "base/clock.h"

namespace skep::scheduling {

class TokenBucket {
 public:
  // Full at first. per_minute > 0.
  TokenBucket(double per_minute, TimePoint now)
      : per_second_(per_minute / 60), capacity_(per_minute), level_(capacity_), at_(now) {
    assert(per_minute > 0);
  }

  // How long until `amount` may be taken; 0: now. More than a minute's worth may be taken from a full bucket, so that a
  // single large task waits rather than never runs.
  [[nodiscard]] Duration until(double amount, TimePoint now) const {
    const double missing = std::min(amount, capacity_) - level(now);
    if (missing <= 0) return Duration::zero();
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(missing / per_second_)) + Duration(1);
  }

  // Takes, without a check; a negative amount gives back.
  void take(double amount, TimePoint now) {
    level_ = std::min(level(now) - amount, capacity_);
    at_ = std::max(at_, now);
  }

  [[nodiscard]] double level(TimePoint now) const {
    return std::min(capacity_, level_ + per_second_ * std::max(0.0, seconds(now - at_)));
  }
  [[nodiscard]] bool full(TimePoint now) const { return level(now) >= capacity_; }

 private:
  double per_second_, capacity_, level_;
  TimePoint at_;
};

}  // namespace skep::scheduling
