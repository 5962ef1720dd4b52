#pragma once
// A trained model in a larger shape that computes the same: new widths, heads and layers are zeros. What it says is
// what the small model says, what it costs is what a model of that shape costs. For measuring what depends on meaning
// (do drafts come true?) at the price of a model that is worth it.
//
// Exact but for rounding: RMSNorm divides by the mean square over all columns, so its gain and epsilon are scaled by
// what the zeros thin out; a new head attends to zeros; a new layer adds nothing to the residual stream.

#include <string>

#include "base/result.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

struct WidenOptions {
  std::string input, output;
  // Each at least the input's; widths are multiples of 32, query heads one of key-value heads. The width of a head
  // stays.
  int embedding = 0, feed_forward = 0, layers = 0, heads = 0, kv_heads = 0;
  std::string type = "Q4_0";  // of the matrices in layers: F16, Q8_0 or Q4_0; the vocabulary's stay Q8_0
  bool overwrite = false;
};

// invalid_argument: a shape that the input does not fit into; unsupported: not a dense `llama`; conflict, io,
// cancelled.
Status widen(const WidenOptions& options, const ProgressFn& progress);

}  // namespace skep::model_tools
