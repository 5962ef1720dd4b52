#pragma once
// What is remembered, measured: `skep bench store` (writes and kills), `skep bench wake` (sleeping agents and their
// waking), `skep bench cache` (hits over HTTP, ten rounds with and without).

#include <string>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct StoreBenchOptions {
  std::string folder;  // for stores; emptied
  int writes = 20'000;
  int kills = 1'000;  // processes killed at work; 0: none
};
Result<Report> run_store_bench(const StoreBenchOptions& options);

struct WakeBenchOptions {
  std::string skep, folder;
  int agents = 10'000;
};
Result<Report> run_wake_bench(const WakeBenchOptions& options);

struct CacheBenchOptions {
  std::string skep, roster, folder;
  int hits = 40'000;
  int rounds = 10;  // of the roster's agents; 0: without that part
};
Result<Report> run_cache_bench(const CacheBenchOptions& options);

}  // namespace skep::bench
