#pragma once
// LoRA adapters as GGUF files: W' = W + (alpha ⁄ rank) · B·A, for each matrix W that the adapter names. The format is
// libllama's: general.type "adapter", adapter.type "lora", adapter.lora.alpha, and a pair of tensors per matrix,
// <name>.lora_a (columns × rank) and <name>.lora_b (rank × rows), innermost first.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

struct ExtractOptions {
  std::string base, tuned;  // models of one shape
  std::string output;
  int rank = 8;
  double smallest_change = 1e-6;  // matrices that changed less, ‖ΔW‖ ⁄ ‖W‖, get no pair
  bool overwrite = false;
};

struct ExtractReport {
  struct Matrix {
    std::string name;
    double change = 0;  // ‖ΔW‖ ⁄ ‖W‖
    double kept = 0;    // of ‖ΔW‖², by the adapter
  };
  std::vector<Matrix> matrices;  // that got a pair
  double kept = 0;               // of all changes
  Bytes bytes;
  std::vector<std::string> left_out;  // that changed and that an adapter can't hold: norms, biases, embeddings
};

// An adapter that turns `base` into (nearly) `tuned`: the truncated SVD of each difference (low_rank.h).
// invalid_argument: models of different shapes, or that differ in nothing.
Result<ExtractReport> extract_adapter(const ExtractOptions& options, const ProgressFn& progress);

struct MergeOptions {
  std::string model, adapter, output;
  double scale = 1;              // of the adapter's own strength
  std::optional<uint32_t> type;  // ggml_type of the changed matrices; unset: as in the model
  bool overwrite = false;
};

struct MergeReport {
  int matrices = 0;  // that were changed
  int rank = 0;
  Bytes bytes;
};

// A model that needs the adapter no more. invalid_argument: the adapter is for another model, or no LoRA.
Result<MergeReport> merge_adapter(const MergeOptions& options, const ProgressFn& progress);

}  // namespace skep::model_tools
