#pragma once
// `skep bench daemon`: what the daemon itself costs. `startup` and `resident` with 131 agents and no model loaded;
// `overhead` per request of everything but the engine (a null engine that answers at once), at 8 clients; `route`, the
// choice of a model by itself, for requests up to a full context; `load` and `swap` of a model against reading its file
// with cat.

#include <string>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct DaemonBenchOptions {
  std::string skep;    // the binary under measurement
  std::string roster;  // 131 agents
  std::string folder;  // for models, configs and logs
  int rounds = 5;
};

Result<Report> run_daemon_bench(const DaemonBenchOptions& options);

}  // namespace skep::bench
