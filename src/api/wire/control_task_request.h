#pragma once
// POST /api/tasks and POST /api/route: a task for an agent. `input` is a text, or `messages` as in chat completions;
// besides them `agent`, `model`, `priority`, `deadline_ms`, `task_type`, `stream`, every parameter of chat completions,
// and `schema`, a JSON Schema that the answer has to follow, short for a `response_format`.

#include "api/wire/task_fields.h"

namespace skep::api::wire {

Parsed<Ask> parse_control_task(const HttpRequest& request);

// The same of a body that is an object already; `request` gives headers and caller. Task files have such objects, too.
Parsed<Ask> read_control_task(const boost::json::object& body, const HttpRequest& request);

}  // namespace skep::api::wire
