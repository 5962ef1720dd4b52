#pragma once
// What this machine can do: measured, not looked up.

#include <cstddef>
#include <vector>

#include "kernel/thread_pool.h"

namespace skep::bench {

// f32 multiply-adds per second of all threads together, times two (FLOP/s), over about `seconds`.
double fma_peak(kernel::ThreadPool& pool, double seconds);

// Reads per second of all threads together from a buffer far larger than any cache, in bytes.
class ReadBandwidth {
 public:
  explicit ReadBandwidth(size_t bytes = size_t{1} << 30);
  double measure(kernel::ThreadPool& pool, double seconds);

 private:
  std::vector<float> buffer_;
};

double now_seconds();  // monotonic

}  // namespace skep::bench
