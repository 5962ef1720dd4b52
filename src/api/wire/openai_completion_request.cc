#include "api/wire/openai_completion_request.h"

#include <boost/json.hpp>

#include "api/wire/openai_sampling.h"

namespace skep::api::wire {

namespace {

constexpr size_t kMostPrompts = 16;

std::vector<std::string> read_prompts(Fields& body) {
  const auto* prompt = body.find("prompt");
  const auto* array = prompt == nullptr ? nullptr : prompt->if_array();
  if (array != nullptr && !array->empty() && !array->front().is_string()) {
    body.bad("prompt", "token ids are not supported: send text", ErrorCode::unsupported);
    return {};
  }
  auto prompts = body.texts("prompt", kMostPrompts);
  if (prompts.empty()) body.bad("prompt", "is required");
  return prompts;
}

}  // namespace

Parsed<OpenAiCompletionRequest> parse_openai_completion(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);

  OpenAiCompletionRequest result;
  agent::TaskRequest task;
  task.model = body.required_text("model");
  task.input.raw = true;
  read_sampling(body, task.input);
  task.input.overrides.max_tokens = static_cast<int>(body.integer("max_tokens", 1, kMostTokens).value_or(16));
  if (auto top = body.integer("logprobs", 0, 5)) {
    result.logprobs = task.input.overrides.logprobs = true;
    task.input.overrides.top_logprobs = static_cast<int>(*top);
  }
  read_task_fields(body, request, task);
  if (!body.text_or("suffix", "").empty()) body.bad("suffix", "is not supported", ErrorCode::unsupported);
  int64_t n = body.integer("n", 1, kMostChoices).value_or(1);
  if (body.integer("best_of", 1, kMostChoices).value_or(1) > n) {
    body.bad("best_of", "more than n is not supported", ErrorCode::unsupported);
  }
  bool echo = body.boolean("echo").value_or(false);
  result.stream = body.boolean("stream").value_or(false);
  if (auto options = body.object("stream_options")) {
    result.include_usage = options->boolean("include_usage").value_or(false);
  }
  auto prompts = read_prompts(body);
  if (static_cast<int64_t>(prompts.size()) * n > kMostChoices) {
    body.bad("n", fmt::format("times the number of prompts is more than {}", kMostChoices));
  }
  if (error) return tl::unexpected(*error);
  for (const std::string& prompt : prompts) {
    task.input.prompt = prompt;
    for (auto& choice : choices_of(task, static_cast<int>(n))) {
      result.tasks.push_back(std::move(choice));
      if (echo) result.echo.push_back(prompt);
    }
  }
  return result;
}

}  // namespace skep::api::wire
