#pragma once
// A token bucket: `per_minute` requests a minute, up to a quarter of a minute's worth (at least one) at once.

#include <algorithm>
#include <optional>

#include "base/clock.h"

namespace skep::api {

class RateLimiter {
 public:
  explicit RateLimiter(int per_minute)
      : per_minute_(per_minute), burst_(std::max(1.0, per_minute / 4.0)), left_(burst_) {}

  // Takes one; unset when that was allowed, else the time until the next one is. per_minute 0: always allowed.
  std::optional<Duration> take(TimePoint now) {
    if (per_minute_ <= 0) return std::nullopt;
    double per_second = per_minute_ / 60.0;
    if (last_ && now > *last_) left_ = std::min(burst_, left_ + seconds(now - *last_) * per_second);
    last_ = now;
    if (left_ >= 1) {
      left_ -= 1;
      return std::nullopt;
    }
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>((1 - left_) / per_second));
  }

 private:
  int per_minute_;
  double burst_;
  double left_;
  std::optional<TimePoint> last_;
};

}  // namespace skep::api
