#pragma once
// What a language agent is asked, free of any wire format: api/ fills it from OpenAI or Ollama requests, the task
// runner from JSONL. prompt.h turns it into an engine::Generate.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/messages.h"

namespace skep::language {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text of an object
  friend bool operator==(const ToolCall&, const ToolCall&) = default;
};

struct Message {
  std::string role;  // system, user, assistant, tool
  std::string content;
  std::string reasoning;             // an assistant's thoughts; not sent back to the model
  std::vector<ToolCall> tool_calls;  // of an assistant
  std::string tool_call_id;          // of a tool's answer
  std::string name;                  // of the tool that answers
  friend bool operator==(const Message&, const Message&) = default;
};

struct Tool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON Schema text of an object; empty: no parameters
};

struct ToolChoice {
  enum class Kind { automatic, none, required, named } kind = Kind::automatic;
  std::string name;  // for named
};

struct ResponseFormat {
  enum class Kind { text, json_object, json_schema } kind = Kind::text;
  std::string schema;  // JSON Schema text, for json_schema
};

// What the caller set; the rest comes from the table of task types and tiers (parameters.h).
struct Overrides {
  std::optional<float> temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<int> top_k, max_tokens, context_tokens;
  std::optional<uint32_t> seed;
  std::vector<std::pair<engine::Token, float>> logit_bias;
  bool logprobs = false;
  int top_logprobs = 0;
  bool ignore_eos = false;
};

struct Request {
  std::vector<Message> messages;
  std::string prompt;  // raw completion, when messages is empty
  bool raw = false;    // the prompt goes to the model without a chat template
  std::vector<Tool> tools;
  ToolChoice tool_choice;
  ResponseFormat format;
  Overrides overrides;
  std::vector<std::string> stop;
  std::string task_type;      // "code", "analysis", …; empty: guessed
  std::optional<bool> think;  // ask for, or suppress, reasoning
};

// A piece of the answer as the client sees it, after the model's own markup was parsed.
struct Delta {
  std::string content;
  std::string reasoning;
  struct ToolCallDelta {
    int index = 0;
    std::string id, name;   // set in the first delta of a call
    std::string arguments;  // JSON text to append
  };
  std::vector<ToolCallDelta> tool_calls;
  std::vector<engine::TokenLogprob> logprobs;
  int tokens = 0;
};

}  // namespace skep::language
