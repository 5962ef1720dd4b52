#include "api/wire/openai_responses_request.h"

#include <algorithm>
#include <boost/json.hpp>

#include "api/wire/openai_messages.h"
#include "api/wire/openai_responses_echo.h"
#include "api/wire/openai_sampling.h"
#include "api/wire/openai_tools.h"

namespace skep::api::wire {

namespace {

using Messages = std::vector<language::Message>;

void read_message(Fields& item, Messages& messages) {
  language::Message& message = messages.emplace_back();
  message.role = item.one_of("role", {"system", "developer", "user", "assistant"}).value_or("");
  if (message.role.empty()) item.bad("role", "is required");
  if (message.role == "developer") message.role = "system";
  if (!item.has("content")) item.bad("content", "is required");
  message.content = read_content(item, "content");
}

// Items are flat where messages nest: calls join the assistant's message before them.
void read_item(Fields& item, Messages& messages) {
  std::string type = item.text_or("type", "message");
  if (type == "message") {
    read_message(item, messages);
  } else if (type == "function_call") {
    if (messages.empty() || messages.back().role != "assistant") messages.emplace_back().role = "assistant";
    messages.back().tool_calls.push_back(
        {item.required_text("call_id"), item.required_text("name"), item.text_or("arguments", "{}")});
  } else if (type == "function_call_output") {
    language::Message& message = messages.emplace_back();
    message.role = "tool";
    message.tool_call_id = item.required_text("call_id");
    if (!item.has("output")) item.bad("output", "is required");
    message.content = read_content(item, "output");
  } else if (type != "reasoning") {  // thoughts are not sent back to the model
    item.bad("type", "items of the type '" + type + "' are not supported", ErrorCode::unsupported);
  }
}

Messages read_input(Fields& body) {
  Messages messages;
  const auto* input = body.find("input");
  if (input == nullptr) {
    body.bad("input", "is required");
  } else if (input->is_string()) {
    language::Message& message = messages.emplace_back();
    message.role = "user";
    message.content = body.text_or("input", "");
  } else {
    for (Fields& item : body.objects("input", kMostMessages)) read_item(item, messages);
    if (messages.empty()) body.bad("input", "must hold at least one message");
  }
  return messages;
}

void refuse_state(Fields& body) {
  for (const char* name : {"previous_response_id", "conversation", "prompt"}) {
    if (body.has(name)) {
      body.bad(name, "is not supported: this server stores no responses, send the whole conversation as input",
               ErrorCode::unsupported);
    }
  }
  if (body.boolean("background").value_or(false)) body.bad("background", "is not supported", ErrorCode::unsupported);
}

}  // namespace

Parsed<OpenAiResponsesRequest> parse_openai_responses(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);

  OpenAiResponsesRequest result;
  agent::TaskRequest task;
  refuse_state(body);
  task.model = body.required_text("model");
  task.input.messages = read_input(body);
  if (std::string instructions = body.text_or("instructions", ""); !instructions.empty()) {
    language::Message system;
    system.role = "system";
    system.content = std::move(instructions);
    task.input.messages.insert(task.input.messages.begin(), std::move(system));
  }
  read_openai_tools(body, ToolShape::flat, task.input);
  if (auto text = body.object("text")) task.input.format = read_response_format(*text, "format", ToolShape::flat);
  if (auto reasoning = body.object("reasoning")) task.input.think = read_effort(*reasoning, "effort");
  read_sampling(body, task.input);
  if (auto most = body.integer("max_output_tokens", 1, kMostTokens)) {
    task.input.overrides.max_tokens = static_cast<int>(*most);
  }
  auto include = body.texts("include", 16);
  result.logprobs = std::find(include.begin(), include.end(), "message.output_text.logprobs") != include.end();
  task.input.overrides.logprobs = result.logprobs;
  task.input.overrides.top_logprobs = static_cast<int>(body.integer("top_logprobs", 0, 20).value_or(0));
  read_task_fields(body, request, task);
  result.stream = body.boolean("stream").value_or(false);
  body.one_of("truncation", {"auto", "disabled"});  // both mean the same here: too long a prompt is refused
  if (error) return tl::unexpected(*error);
  result.echo = openai_responses_echo(*object);
  result.tasks.push_back(std::move(task));
  return result;
}

}  // namespace skep::api::wire
