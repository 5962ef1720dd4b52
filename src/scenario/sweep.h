#pragma once
// Many runs of one scenario: over seeds, and over values of parameters. Runs share nothing and use one thread each, so
// a sweep uses all cores, and its results don't depend on how many there are.

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "scenario/history.h"
#include "scenario/scenario.h"

namespace skep::scenario {

struct Estimate {
  double mean = 0;
  double margin = 0;  // half of the 95 % confidence interval (Student's t); 0 with one run
};
Estimate estimate(const std::vector<double>& values);

struct SweepCell {                             // one combination of values
  std::vector<Override> values;                // of the varied parameters, empty without any
  std::vector<std::string> populations;        // names
  std::vector<std::vector<CurvePoint>> means;  // by seed, by population: over the run
  int64_t steps = 0;
};

struct SweepOptions {
  uint64_t first_seed = 1;
  int seeds = 1;
  int threads = 0;                                        // 0: one per CPU
  std::vector<Override> overrides;                        // for all runs
  std::function<void(size_t done, size_t all)> progress;  // from any thread; may be null
  const std::atomic<bool>* cancelled = nullptr;
};

inline constexpr size_t most_runs = 100'000;

// Every combination of the scenario's sweep (just one if it has none) × seeds first_seed, first_seed + 1, …
Result<std::vector<SweepCell>> run_sweep(const std::string& text, const std::string& what, const SweepOptions& options);

// How the first population does against another of the same runs, seed by seed.
struct Comparison {
  std::string first, other;
  Estimate difference;  // of the mean reward
  int wins = 0;
  int runs = 0;
};
std::vector<Comparison> compare(const SweepCell& cell);

}  // namespace skep::scenario
