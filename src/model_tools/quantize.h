#pragma once
// Smaller weights: libllama's quantization, with a plan that is known before, an importance matrix of our own, and a
// mix of types chosen to fit a size (quantize_mix.h).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model_tools/importance.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

// A named recipe of libllama's: "Q4_K_M" gives some layers more bits than others.
struct QuantizationType {
  const char* name;
  int file_type;          // llama_ftype
  double bits;            // per weight, about; for ordering and for help texts
  bool needs_importance;  // libllama refuses it without
};
const std::vector<QuantizationType>& quantization_types();              // most bits first
const QuantizationType* find_quantization_type(std::string_view name);  // any case; null: unknown

struct QuantizeOptions {
  std::string input, output;
  std::string type = "Q4_K_M";
  std::optional<Bytes> target_size;  // of the file: a mix that fits, instead of `type`
  const Importance* importance = nullptr;
  int threads = 0;          // 0: one per core
  bool requantize = false;  // input that is quantized already loses twice; refused otherwise
  bool overwrite = false;
  Bytes most_memory = 256_MiB;  // for rows of one tensor
};

struct TensorPlan {
  std::string name;
  uint32_t from = 0, to = 0;  // ggml_type
  Bytes before, after;
};

struct QuantizePlan {
  std::string type;  // the recipe, or "mix"
  std::vector<TensorPlan> tensors;
  Bytes before, after;  // the files
  double bits_per_weight = 0;
  bool importance = false;
  double error = 0;  // of a mix: mean relative error of the matrices' outputs, as measured on samples
};

// What quantize() would do, by libllama's own dry run. invalid_argument: no such type, a type that needs importance, a
// target that can't be reached (with the smallest that can); conflict and the like come only with quantize().
Result<QuantizePlan> plan_quantize(const QuantizeOptions& options, const ProgressFn& progress);

// Writes it. The plan comes back with the size that the file has.
Result<QuantizePlan> quantize(const QuantizeOptions& options, const ProgressFn& progress);

}  // namespace skep::model_tools
