#pragma once
// What fine-tuning would have made of a model, without the hours: some or all matrices changed a little. Real tuning
// changes weights in directions that matter; their sizes, which decide what a delta costs, are these.

#include <string>

#include "base/result.h"

namespace skep::bench {

struct Tuning {
  double relative = 1e-3;  // deviation of a change, of the weight itself
  int last_layers = 0;     // only these many, as when a few layers are tuned; 0: all
};

// Dequantizes, changes and quantizes row by row. Deterministic.
Status write_tuned(const std::string& model, const std::string& output, const Tuning& tuning);

}  // namespace skep::bench
