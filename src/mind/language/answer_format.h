#pragma once
// How the answer of one prompt is marked up, so that tool_calls.h can read it. prompt.h fills it in.

#include <cstdint>
#include <string>
#include <vector>

namespace skep::language {

// How a model family writes tool calls and reads their results.
enum class TemplateFamily {
  hermes,  // Qwen, Hermes and all others: <tool_call>{"name", "arguments"}</tool_call>; results in <tool_response>
  llama3,  // {"name", "parameters"} as the whole message; results from the role ipython
};

struct AnswerFormat {
  std::vector<std::string> tools;    // names that may be called; empty: the answer is read as plain text
  bool call_only = false;            // a grammar makes the whole answer one call in plain JSON
  bool reasons = false;              // <think>…</think> may come
  bool starts_in_reasoning = false;  // the prompt has opened <think> already
  uint64_t id_seed = 0;              // of the call ids; different for every answer
};

}  // namespace skep::language
