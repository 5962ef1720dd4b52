#pragma once
// The work of `skep run` and of `skep demo`: a task file through a daemon.

#include <functional>
#include <memory>
#include <string>

#include "cli/run/run_summary.h"
#include "cli/session.h"

namespace skep::cli {

struct RunOptions {
  std::string tasks;    // JSONL; "-": standard input
  std::string results;  // JSONL; "-": standard output
  bool strict = false, retry_failed = false;
  int window = 256;
  int max_tokens = 0;  // of an answer at most; 0: as the tasks say
  std::string model;   // every task goes there; empty: as the tasks say
  std::string caller;  // in whose name; task_run.h
};

// A run under way: what its daemon's loss has to end. Gone when the run is over.
using RunHandle = std::weak_ptr<TaskRun>;

// Starts feeding `service`; `done` comes on the session's loop with the summary. SIGINT lets what runs finish.
RunHandle run_tasks(Session& session, api::TaskService& service, const RunOptions& options,
                    std::function<void(Result<RunSummary>)> done);

}  // namespace skep::cli
