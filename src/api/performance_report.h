#pragma once
// The counts of agent::Statistics as the API and the task runner report them.

#include "agent/statistics.h"
#include "api/backend.h"

namespace skep::api {

// Tiers and models; uptime, rate and loads are the caller's.
PerformanceReport performance_report(const agent::Statistics& statistics);

}  // namespace skep::api
