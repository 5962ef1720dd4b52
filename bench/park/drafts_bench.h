#pragma once
// Structured answers with and without drafts: agents who answer in the same JSON formats, each about something else.
// The model is the trained demo model `deep` widened to the 143 M shape (model_tools/widen.h): its answers mean
// something, so that whether a draft comes true does, too.

#include "base/result.h"
#include "park_bench.h"
#include "report.h"

namespace skep::bench {

// Plays both in turns on the same model: `drafts` with one answer at a time, where a step waits for memory, and a row
// with four at once, where it computes. The answers must be the same: drafts change nothing but the speed.
Result<std::vector<Row>> measure_drafts(const ParkBenchOptions& options);

}  // namespace skep::bench
