#pragma once
// POST /api/chat and /api/generate.

#include "api/wire/task_fields.h"

namespace skep::api::wire {

// Without messages or prompt it only loads the model, or unloads it (keep_alive 0).
struct OllamaRequest : Ask {
  std::string model;
  std::optional<Duration> keep_alive;
  bool load_only = false;
  bool logprobs = false;
  // Of /api/generate: what the answer's `context` is made of; empty for raw prompts, which have none.
  std::vector<language::Message> conversation;
};

Parsed<OllamaRequest> parse_ollama_chat(const HttpRequest& request);
Parsed<OllamaRequest> parse_ollama_generate(const HttpRequest& request);

}  // namespace skep::api::wire
