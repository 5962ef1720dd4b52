#pragma once
// `skep bench preempt`: how soon urgent work is served, and what a long prompt does to running streams, through the
// whole daemon.
//   preempt_ttft  p95 of the time to the first token of critical tasks while 32 background generations run, against
//                 the same on an idle engine
//   prefill_gap   p99 of the gap between two tokens of running streams while a 4,000-token prompt is read, against
//                 the same without it
// The peer is llama-server on the same file, with the same background clients and the same requests in the same run;
// there a critical task waits for a slot behind all of them, so one is enough to see how long.

#include <string>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct PreemptBenchOptions {
  std::string skep;              // its executable
  std::string llama_server;      // empty: no peer
  std::string folder;            // for the model, configurations and logs
  std::string model;             // another GGUF than the synthesized one
  std::string forward = "auto";  // as engines.forward
  int critical = 20;             // tasks measured
};

Result<Report> run_preempt_bench(const PreemptBenchOptions& options);

}  // namespace skep::bench
