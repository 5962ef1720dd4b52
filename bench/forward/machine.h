#pragma once
// What this machine can do, and how fast the kernels are by themselves.

#include <string>
#include <vector>

#include "kernel/lm/format.h"

namespace skep::bench {

double seconds_now();  // monotonic

// Bytes per second that `threads` read from a buffer far larger than any cache, the best of some tries.
double read_bandwidth(int threads);

// int8 multiply-adds, times two, per second and thread, that this processor's AVX2 units can do at best: vpmaddubsw and
// the addition that takes up its result, on registers alone. 0: not an AVX2 machine.
double int8_peak();

// int8 multiply-adds of one kernel call, times two, per second and thread: rows × columns weights, `tokens` at once.
double gemm_rate(kernel::lm::Format format, int rows, int columns, int tokens);

}  // namespace skep::bench
