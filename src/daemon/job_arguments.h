#pragma once
// A job of a model tool as a command line, and the memory that it will take. Everything in a request comes from a
// client: only known parameters of known tools are passed on, and every path lies in a model folder.

#include <string>
#include <vector>

#include "api/model_jobs.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::daemon {

struct JobCommand {
  std::vector<std::string> arguments;  // of `skep`
  Bytes memory;                        // that it will take at most (job_memory.h)
};

// `folders`: the model folders, at least one; names that are no absolute path are looked up there in turn, and made in
// the first. invalid_argument: an unknown tool or parameter, a value out of its range, a path outside; not_found: an
// input. Reads the headers of models.
Result<JobCommand> job_command(const api::ModelJobRequest& request, const std::vector<std::string>& folders);

}  // namespace skep::daemon
