#pragma once
// POST /v1/messages, Anthropic's shape: content blocks, tool results inside user messages, the system prompt apart.

#include "api/wire/task_fields.h"

namespace skep::api::wire {

struct AnthropicRequest : Ask {};

Parsed<AnthropicRequest> parse_anthropic(const HttpRequest& request);

}  // namespace skep::api::wire
