#pragma once
// POST /v1/responses, stateless: nothing is stored, so what refers to earlier responses is a 400.

#include <boost/json/object.hpp>

#include "api/wire/task_fields.h"

namespace skep::api::wire {

struct OpenAiResponsesRequest : Ask {
  boost::json::object echo;  // of the request, in every form of the answer
  bool logprobs = false;
};

Parsed<OpenAiResponsesRequest> parse_openai_responses(const HttpRequest& request);

}  // namespace skep::api::wire
