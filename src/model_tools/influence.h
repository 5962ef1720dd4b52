#pragma once
// What each layer of a model does to its hidden states: influence = 1 − E[cos(input, output)] over the tokens of a
// text ("block influence", Men et al. 2024, arXiv:2403.03853). A layer that hardly turns the residual stream can go.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

struct InfluenceOptions {
  int context_tokens = 512;
  int most_windows = 0;  // 0: the whole text
  int threads = 0;
};

// By layer, 0..2. unsupported: a model whose graph does not name the outputs of its layers.
Result<std::vector<double>> measure_influence(const std::string& model, std::string_view text,
                                              const InfluenceOptions& options, const ProgressFn& progress);

// The `count` layers of least influence, ascending by number. At least one layer stays.
std::vector<int> least_influential(const std::vector<double>& influence, int count);

}  // namespace skep::model_tools
