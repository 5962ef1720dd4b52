#pragma once
// `skep bench model`: the model tools against those that people have. `quantize` time and peak memory against
// llama-quantize, on the same file; `delta` size and time for a fine-tuned version of a 600 MB file against
// zstd --patch-from and a full copy; `sizes`: what each quantization of a model takes, says and decodes; `curves`: what
// pruning costs a model and distilling from the whole one brings back, layer by layer.

#include <string>
#include <vector>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct ModelBenchOptions {
  std::string skep;                 // the binary under measurement
  std::string llama_quantize;       // empty: without
  std::string folder;               // for the models
  std::string only;                 // quantize, delta, sizes or curves; empty: the first three
  std::vector<std::string> models;  // F16 or F32 files for `sizes`, beside the tinyllama shape
  std::string text, tasks;          // to score them on; empty: not scored
  std::string type;                 // of `sizes`: only this one; empty: all
  std::string data;                 // for `curves`: what the pruned model learns from; empty: pruning alone
  int steps = 300;                  // of distillation
  int most_removed = 5;             // layers
  int rounds = 3;
};

Result<Report> run_model_bench(const ModelBenchOptions& options);

// Each adds its rows.
Status bench_quantize(const ModelBenchOptions& options, Report& report);
Status bench_delta(const ModelBenchOptions& options, Report& report);
Status bench_sizes(const ModelBenchOptions& options, Report& report);
Status bench_curves(const ModelBenchOptions& options, Report& report);

}  // namespace skep::bench
