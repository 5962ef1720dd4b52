#include "api/wire/ollama_format.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "api/wire/ollama_context.h"
#include "api/wire/ollama_time.h"
#include "base/json.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

json::array tool_calls(const std::vector<language::ToolCall>& calls) {
  json::array result;
  for (const auto& call : calls) {
    auto arguments = parse_json(call.arguments, "arguments");
    // What is no object was checked before it came here; still, clients must get one.
    if (!arguments || !arguments->is_object()) arguments = json::object();
    json::object function{{"name", call.name}, {"arguments", std::move(*arguments)}};
    result.emplace_back(json::object{{"function", std::move(function)}});
  }
  return result;
}

json::array logprobs_of(const std::vector<engine::TokenLogprob>& tokens) {
  json::array result;
  for (const auto& token : tokens) {
    json::array top;
    for (const auto& [text, logprob] : token.top) top.push_back({{"token", valid_utf8(text)}, {"logprob", logprob}});
    json::object value{{"token", valid_utf8(token.text)}, {"logprob", token.logprob}};
    if (!top.empty()) value["top_logprobs"] = std::move(top);
    result.emplace_back(std::move(value));
  }
  return result;
}

}  // namespace

json::object OllamaFormat::piece(const std::string& content, const std::string& thinking) const {
  json::object value{{"model", frame_.model}, {"created_at", rfc3339(frame_.wall())}};
  if (frame_.kind == OllamaFrame::Kind::chat) {
    json::object message{{"role", "assistant"}, {"content", content}};
    if (!thinking.empty()) message["thinking"] = thinking;
    value["message"] = std::move(message);
  } else {
    value["response"] = content;
    if (!thinking.empty()) value["thinking"] = thinking;
  }
  value["done"] = false;
  return value;
}

void OllamaFormat::add_figures(json::object& value, const agent::TaskResult& result) const {
  value["done"] = true;
  // Ollama ends a turn of tool calls with "stop".
  value["done_reason"] = result.finish_reason == "length" ? "length" : "stop";
  if (!frame_.conversation.empty()) {
    auto conversation = frame_.conversation;
    conversation.push_back(result.message);
    value["context"] = ollama_context(conversation);
  }
  value["total_duration"] = result.total.count();
  value["load_duration"] = result.load.count();
  value["prompt_eval_count"] = result.usage.prompt_tokens;
  value["prompt_eval_duration"] = result.prefill.count();
  value["eval_count"] = result.usage.completion_tokens;
  value["eval_duration"] = result.decode.count();
}

std::string OllamaFormat::whole(const std::vector<Answer>& answers) {
  const Answer& answer = answers.front();
  const language::Message& message = answer.result.message;
  json::object value = piece(message.content, message.reasoning);
  if (frame_.kind == OllamaFrame::Kind::chat && !message.tool_calls.empty()) {
    value["message"].as_object()["tool_calls"] = tool_calls(message.tool_calls);
  }
  if (frame_.logprobs) value["logprobs"] = logprobs_of(answer.logprobs);
  add_figures(value, answer.result);
  return to_text(value);
}

std::string OllamaFormat::delta(int /*choice*/, const language::Delta& delta) {
  bool with_logprobs = frame_.logprobs && !delta.logprobs.empty();
  if (delta.content.empty() && delta.reasoning.empty() && !with_logprobs) return {};
  json::object value = piece(delta.content, delta.reasoning);
  if (with_logprobs) value["logprobs"] = logprobs_of(delta.logprobs);
  return to_text(value) + "\n";
}

std::string OllamaFormat::finished(int /*choice*/, const agent::TaskResult& result) {
  std::string lines;
  if (frame_.kind == OllamaFrame::Kind::chat && !result.message.tool_calls.empty()) {
    json::object calls = piece("", "");
    calls["message"].as_object()["tool_calls"] = tool_calls(result.message.tool_calls);
    lines = to_text(calls) + "\n";
  }
  json::object last = piece("", "");
  add_figures(last, result);
  return lines + to_text(last) + "\n";
}

std::string OllamaFormat::broken(const ApiError& error) { return error_body(error, ErrorStyle::ollama) + "\n"; }

std::string OllamaFormat::loaded(bool unloaded) const {
  json::object value = piece("", "");
  value["done"] = true;
  value["done_reason"] = unloaded ? "unload" : "load";
  return to_text(value);
}

}  // namespace skep::api::wire
