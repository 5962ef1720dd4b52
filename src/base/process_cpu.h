#pragma once
// How much CPU time a process has used, as the kernel counts it.

#include <optional>

namespace skep {

// User and system time of all threads, in seconds, in steps of a clock tick (10 ms). Nothing: there is no such process.
std::optional<double> process_cpu_seconds(int process);

}  // namespace skep
