#pragma once
// Which columns of each matrix matter: the mean square of what the model's activations multiply them with on a text.
// Quantization then spends its precision there ("importance matrix" in libllama's words). Dense matrices only: the
// experts of a mixture get none and are quantized without.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

// By the tensor's name: one value per column.
using Importance = std::map<std::string, std::vector<float>>;

struct ImportanceOptions {
  int context_tokens = 512;
  int most_windows = 0;  // 0: the whole text
  int threads = 0;
};

// invalid_argument when the text is shorter than one window.
Result<Importance> measure_importance(const std::string& model, std::string_view text, const ImportanceOptions& options,
                                      const ProgressFn& progress);

}  // namespace skep::model_tools
