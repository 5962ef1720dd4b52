#pragma once
// Structured answers with and without drafts: agents who answer in the same JSON format, each about something else.

#include "engine/worker.h"
#include "report.h"

namespace skep::bench {

// Plays both in turns on the same model. The answers must be the same: drafts change nothing but the speed.
Result<Row> measure_drafts(engine::ReadyModel& model, int rounds);

}  // namespace skep::bench
