#pragma once
// `skep bench forward`: our own forward pass beside libllama's on the same files and threads: prefill of 512 tokens,
// decode of 1, 8 and 16 sequences, with random weights in the shapes of smollm-135m ("143M") and tinyllama ("1.1B"), in
// Q4_0 and Q4_K_M; then what loading a repacked model costs, what a model needs in memory, whether a token's cost grows
// with the number of sequences, and the kernels by themselves.
//
// The peers are llama-bench and llama-batched-bench, run as processes in turn with ours, `rounds` times each; medians
// are compared. SKEP_KERNELS=avx2 masks newer instruction sets off.

#include <string>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct ForwardBenchOptions {
  std::string folder;  // for the models, about 1.6 GB; made there unless they are there
  std::string tools;   // folder of llama-bench and llama-batched-bench; empty: no peers
  int threads = 0;     // all cores
  int rounds = 3;
  std::string only;     // models whose name contains this ("143M Q4_0"), "load", "flat", or empty: all
  bool kernels = true;  // the kernels by themselves too
};

// Rows: `prefill MODEL`, `decode_1 MODEL`, `decode_8 MODEL`, `decode_16 MODEL`, `load`, `memory`, `flat`, `gemm …`.
Result<Report> run_forward_bench(const ForwardBenchOptions& options);

}  // namespace skep::bench
