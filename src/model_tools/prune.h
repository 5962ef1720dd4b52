#pragma once
// A model without some of its layers: their tensors left out, the others renumbered, the counts in the metadata made
// to fit. Which layers can go is influence.h's question.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

struct PruneOptions {
  std::string input, output;
  std::vector<int> layers;  // to remove, each once, in any order
  bool overwrite = false;
};

struct PruneReport {
  int layers_before = 0, layers_after = 0;
  Bytes before, after;
};

// invalid_argument: a layer that there is not, or none left; conflict, io, cancelled, corrupt.
Result<PruneReport> prune(const PruneOptions& options, const ProgressFn& progress);

}  // namespace skep::model_tools
