#pragma once
// POST /v1/responses, stateless: nothing is stored, so what refers to earlier responses is a 400.

#include "api/wire/task_fields.h"

namespace skep::api::wire {

struct OpenAiResponsesRequest : Ask {
  std::string instructions;  // echoed in the answer
  bool logprobs = false;
};

Parsed<OpenAiResponsesRequest> parse_openai_responses(const HttpRequest& request);

}  // namespace skep::api::wire
