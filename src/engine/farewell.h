#pragma once
// How long a worker that is told to end may go on parking: what is left of its sequences, at the rate that the disk
// takes it, twice, but not for ever: whoever swaps it out waits for it.

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "engine/worker_environment.h"

namespace skep::engine {

constexpr Duration kLeastFarewell = std::chrono::seconds(1);

// `bytes` to save and write, at `rate` bytes per second (over 0).
inline Duration farewell(int64_t bytes, double rate) {
  const double needed = std::min(2 * static_cast<double>(bytes) / rate, seconds(kMostFarewell));
  return std::max(kLeastFarewell, std::chrono::duration_cast<Duration>(std::chrono::duration<double>(needed)));
}

}  // namespace skep::engine
