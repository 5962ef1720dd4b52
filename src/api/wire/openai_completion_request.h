#pragma once
// POST /v1/completions: raw prompts, without a chat template. Several prompts are several choices, as are n > 1; the
// choices of one prompt follow each other.

#include "api/wire/task_fields.h"

namespace skep::api::wire {

struct OpenAiCompletionRequest : Ask {
  bool include_usage = false;
  bool logprobs = false;
  std::vector<std::string> echo;  // text to put before each choice's answer; empty: none
};

Parsed<OpenAiCompletionRequest> parse_openai_completion(const HttpRequest& request);

}  // namespace skep::api::wire
