#pragma once
// POST /api/tasks and POST /api/route: a task for an agent. `input` is a text, or `messages` as in chat completions;
// besides them `agent`, `model`, `priority`, `deadline_ms`, `task_type`, `stream`, and every parameter of chat
// completions.

#include "api/wire/task_fields.h"

namespace skep::api::wire {

Parsed<Ask> parse_control_task(const HttpRequest& request);

}  // namespace skep::api::wire
