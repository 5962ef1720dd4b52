#pragma once
// skep's own fields of any request that makes a task: `agent`, `adapter`, `conversation`, `priority`, `deadline_ms`,
// `task_type`, `cache` {tags, ttl_seconds}, for clients that can add fields, and the headers X-Skep-Agent,
// X-Skep-Adapter, X-Skep-Conversation, X-Skep-Priority, X-Skep-Deadline-Ms for those that can't. The body wins.
// Cache-Control is heeded.

#include <vector>

#include "agent/task.h"
#include "api/http_message.h"
#include "api/wire/fields.h"

namespace skep::api::wire {

// What a request asks for, whatever its wire format.
struct Ask {
  std::vector<agent::TaskRequest> tasks;  // one per choice, at least one
  bool stream = false;
};

void read_task_fields(Fields& body, const HttpRequest& request, agent::TaskRequest& task);

// `count` copies of `task`; a given seed is raised by one for each, so that they differ.
std::vector<agent::TaskRequest> choices_of(const agent::TaskRequest& task, int count);

}  // namespace skep::api::wire
