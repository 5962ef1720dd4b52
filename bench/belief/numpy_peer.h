#pragma once
// The numpy peer as a child process.

#include "base/result.h"

namespace skep::bench {

// Updates per second of workload M with 10,000 agents. An error if there is no python3 with numpy.
Result<double> numpy_updates_per_second();

}  // namespace skep::bench
