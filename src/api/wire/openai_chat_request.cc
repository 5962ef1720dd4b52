#include "api/wire/openai_chat_request.h"

#include <boost/json.hpp>

#include "api/wire/openai_messages.h"
#include "api/wire/openai_sampling.h"
#include "api/wire/openai_tools.h"

namespace skep::api::wire {

void read_chat_input(Fields& body, language::Request& input) {
  read_openai_tools(body, ToolShape::nested, input);
  input.format = read_response_format(body, "response_format", ToolShape::nested);
  input.think = read_effort(body, "reasoning_effort");
  read_sampling(body, input);
  auto most = body.integer("max_completion_tokens", 1, kMostTokens);
  if (!most) most = body.integer("max_tokens", 1, kMostTokens);
  if (most) input.overrides.max_tokens = static_cast<int>(*most);
  input.overrides.logprobs = body.boolean("logprobs").value_or(false);
  auto top = body.integer("top_logprobs", 0, 20);
  if (top && !input.overrides.logprobs) body.bad("top_logprobs", "needs logprobs to be true");
  input.overrides.top_logprobs = static_cast<int>(top.value_or(0));
}

Parsed<OpenAiChatRequest> parse_openai_chat(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);

  OpenAiChatRequest result;
  agent::TaskRequest task;
  task.model = body.required_text("model");
  task.input.messages = read_openai_messages(body);
  read_chat_input(body, task.input);
  read_task_fields(body, request, task);
  result.stream = body.boolean("stream").value_or(false);
  if (auto options = body.object("stream_options")) {
    result.include_usage = options->boolean("include_usage").value_or(false);
  }
  result.tasks = choices_of(task, static_cast<int>(body.integer("n", 1, kMostChoices).value_or(1)));
  if (error) return tl::unexpected(*error);
  return result;
}

}  // namespace skep::api::wire
