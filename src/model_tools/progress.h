#pragma once
// How far a tool is: what `skep model …` draws as a bar and the jobs of the API report.

#include <functional>
#include <string>

namespace skep::model_tools {

struct Progress {
  std::string stage;    // "measuring importance", "quantizing"
  double fraction = 0;  // 0..1, of this stage
  std::string detail;   // "blk.3.ffn_up.weight", "loss 1.83, 4,100 tok/s"; may be empty
};

// Called on the tool's thread, at least every few seconds of work. Returning false stops: the error is `cancelled` and
// no file is left. Empty: nobody listens.
using ProgressFn = std::function<bool(const Progress&)>;

inline bool proceed(const ProgressFn& progress, Progress now) { return !progress || progress(std::move(now)); }

}  // namespace skep::model_tools
