#pragma once
// The control API from its client's side: a task as the body that parse_control_task() reads, and what comes back, read
// into the structs that it was written from. Input is a daemon's of another version perhaps: a field that is missing
// keeps its default, what is no JSON is an error.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/backend.h"

namespace skep::api::wire {

// A streamed request. Not said: `caller` (the key says it), raw prompts, logprobs and logit biases, which no task file
// asks for.
std::string control_task_body(const agent::TaskRequest& task);

// The data of one event of the stream. An error stands for `failed`.
using ControlEvent = std::variant<agent::TaskStarted, language::Delta, agent::TaskResult>;
Result<ControlEvent> read_control_event(std::string_view data);

// The body of an error status: its code and text, `unavailable` with the status where it is nobody's JSON.
Error read_control_error(int status, std::string_view body);

struct ControlResources {
  ResourceUsage usage;  // without the ledger's entries
  std::vector<RunningModel> running;
};
Result<ControlResources> read_control_resources(std::string_view body);
Result<PerformanceReport> read_control_performance(std::string_view body);  // names, counts and loads

}  // namespace skep::api::wire
