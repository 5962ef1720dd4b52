#pragma once
// POST /v1/chat/completions.

#include "api/wire/task_fields.h"

namespace skep::api::wire {

struct OpenAiChatRequest : Ask {
  bool include_usage = false;
};

Parsed<OpenAiChatRequest> parse_openai_chat(const HttpRequest& request);

// The fields that the control API's tasks share with it: messages, tools, response_format, sampling, limits.
void read_chat_input(Fields& body, language::Request& input);

}  // namespace skep::api::wire
