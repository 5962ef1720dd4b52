#pragma once
// `skep bench belief`: updates per second of active-inference populations against what the machine can do — the f32
// multiply-add peak and the read bandwidth of all cores, measured in the same run, in turns with the workloads — and
// against hand-vectorised numpy.
//
// S: 16 states × 16 observations × 4 actions; M: 32 × 32 × 4; P: M with the expected free energy of 4 actions, softmax
// and choice. One update is predict, correct, normalise, free energy. Multiply-adds counted as two: S 560, M 2,144,
// P 10,848 (folded planning). Own models read per update: S 1,216 bytes, M 4,480, P 20,864; in bfloat16 672,
// 2,368 and 10,624.

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct BeliefBenchOptions {
  int threads = 0;  // all cores
  int rounds = 9;   // of each workload and limit, in turns; the median of the paired fractions counts
  double round_seconds = 0.1;
  bool peer = true;            // numpy
  bool side_processes = true;  // busy neighbour and memory of whole processes
  std::string only;            // a result name, or empty
};

Result<Report> run_belief_bench(const BeliefBenchOptions& options);

}  // namespace skep::bench
