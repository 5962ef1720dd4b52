#pragma once
// What must stand in a worker's environment before it is executed, because libgomp and glibc read it when they start:
// whoever starts `skep engine` sets these, in addition to what it inherits.

#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace skep::engine {

//  GOMP_SPINCOUNT=1000   libggml's threads meet at a barrier hundreds of times per token and spin there, by default for
//                        milliseconds: with another process on one core a token takes 12 times as long. After 1,000
//                        turns (a few microseconds) they sleep instead.
//  OMP_DYNAMIC=false     no fewer threads than asked for: libggml counts on them.
//  GGML_NO_BACKTRACE=1   a failed assertion in libggml ends the process at once instead of starting a debugger on it.
//  MALLOC_ARENA_MAX=2    one arena per thread would keep memory that nobody uses.
std::vector<std::pair<std::string, std::string>> worker_environment();

// Set by the daemon: the bytes of host memory that a worker may take at most (streaming.h).
inline constexpr const char* kHostBudgetVariable = "SKEP_HOST_BUDGET";

// A worker that is told to end parks its sequences first, and takes so long at most (farewell.h).
constexpr Duration kMostFarewell = std::chrono::seconds(8);

}  // namespace skep::engine
