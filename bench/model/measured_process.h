#pragma once
// A program run to its end, with what it took.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace skep::bench {

struct Measured {
  double seconds = 0;      // by the clock
  double cpu_seconds = 0;  // user and system
  Bytes peak;              // resident, files included
};

// Its output goes nowhere. io: it can't be started; internal: it did not end with 0.
Result<Measured> run_measured(const std::vector<std::string>& command);

}  // namespace skep::bench
