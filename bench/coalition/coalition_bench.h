#pragma once
// `skep bench coalition`: how long coalitions take from nothing and after 5 % of the agents moved, and how good they
// are against the exact optimum.

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct CoalitionBenchOptions {
  int threads = 2;
  int rounds = 15;  // of each time; the median counts
};

Result<Report> run_coalition_bench(const CoalitionBenchOptions& options);

}  // namespace skep::bench
