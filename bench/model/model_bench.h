#pragma once
// `skep bench model`: the model tools against those that people have. `quantize` time and peak memory against
// llama-quantize, on the same file; `delta` size and time for a fine-tuned version of a 600 MB file against
// zstd --patch-from and a full copy; `sizes`: what each quantization of a model takes, says and decodes; `curves`: what
// pruning costs a model, layer by layer; `distill`: what learning from the whole one brings back, by steps.

#include <string>
#include <vector>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct ModelBenchOptions {
  std::string skep;                 // the binary under measurement
  std::string llama_quantize;       // empty: without
  std::string folder;               // for the models
  std::string only;                 // quantize, delta, sizes, curves or distill; empty: the first three
  std::vector<std::string> models;  // F16 or F32 files for `sizes`, beside the tinyllama shape
  std::string text, tasks;          // to score them on; empty: not scored
  std::string type;                 // of `sizes`: only this one; empty: all
  std::string data;                 // for `distill`: what the pruned model learns from
  std::vector<int> steps = {300};   // … in so many steps, each from the pruned model
  int most_removed = 5;             // layers: `curves` goes up to it, `distill` removes as many
  int rounds = 3;
};

Result<Report> run_model_bench(const ModelBenchOptions& options);

// Each adds its rows.
Status bench_quantize(const ModelBenchOptions& options, Report& report);
Status bench_delta(const ModelBenchOptions& options, Report& report);
Status bench_sizes(const ModelBenchOptions& options, Report& report);
Status bench_curves(const ModelBenchOptions& options, Report& report);
Status bench_distill(const ModelBenchOptions& options, Report& report);

}  // namespace skep::bench
