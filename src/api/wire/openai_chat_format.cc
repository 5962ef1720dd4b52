#include "api/wire/openai_chat_format.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "api/wire/openai_usage.h"

namespace skep::api::wire {

namespace json = boost::json;

std::string openai_chat_beginning(std::string_view id, int64_t created) {
  return fmt::format(R"({{"id":"{}","object":"chat.completion","created":{},)", id, created);
}

OpenAiChatFormat::OpenAiChatFormat(OpenAiChatFrame frame)
    : frame_(std::move(frame)), role_sent_(static_cast<size_t>(frame_.choices)) {}

json::object openai_message(const language::Message& message) {
  json::object result{{"role", "assistant"}, {"content", message.content}, {"refusal", nullptr}};
  if (!message.reasoning.empty()) result["reasoning_content"] = message.reasoning;
  if (!message.tool_calls.empty()) {
    if (message.content.empty()) result["content"] = nullptr;
    json::array calls;
    for (const auto& call : message.tool_calls) {
      calls.push_back(
          {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    result["tool_calls"] = std::move(calls);
  }
  return result;
}

std::string OpenAiChatFormat::whole(const std::vector<Answer>& answers) {
  json::array choices;
  std::vector<engine::Usage> usages;
  for (const Answer& answer : answers) {
    json::value logprobs = nullptr;
    if (frame_.logprobs) logprobs = openai_logprobs(answer.logprobs);
    choices.push_back({{"index", choices.size()},
                       {"message", openai_message(answer.result.message)},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", answer.result.finish_reason}});
    usages.push_back(answer.result.usage);
  }
  if (!answers.empty()) frame_.model = answers.front().result.route.model;
  return to_text(json::object{{"id", frame_.id},
                              {"object", "chat.completion"},
                              {"created", frame_.created},
                              {"model", frame_.model},
                              {"choices", std::move(choices)},
                              {"usage", openai_usage(total_usage(usages))}});
}

std::string OpenAiChatFormat::started(int /*choice*/, const agent::TaskStarted& started) {
  // Constant from the first chunk on, whatever other choices or a retry are routed to.
  if (!model_known_) frame_.model = started.route.model;
  model_known_ = true;
  return {};
}

std::string OpenAiChatFormat::chunk(json::array choices, const engine::Usage* usage) {
  json::object value{{"id", frame_.id},
                     {"object", "chat.completion.chunk"},
                     {"created", frame_.created},
                     {"model", frame_.model},
                     {"choices", std::move(choices)}};
  if (frame_.include_usage) value["usage"] = usage == nullptr ? json::value(nullptr) : openai_usage(*usage);
  return sse_event("", to_text(value));
}

std::string OpenAiChatFormat::chunk(int choice, json::object delta, const char* finish_reason,
                                    const std::vector<engine::TokenLogprob>* logprobs) {
  json::object value{{"index", choice}, {"delta", std::move(delta)}};
  if (logprobs != nullptr) value["logprobs"] = openai_logprobs(*logprobs);
  value["finish_reason"] = finish_reason == nullptr ? json::value(nullptr) : json::value(finish_reason);
  return chunk(json::array{std::move(value)}, nullptr);
}

std::string OpenAiChatFormat::role(int choice) {
  if (role_sent_[static_cast<size_t>(choice)]) return {};
  role_sent_[static_cast<size_t>(choice)] = true;
  return chunk(choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
}

std::string OpenAiChatFormat::delta(int choice, const language::Delta& delta) {
  json::object value;
  if (!delta.content.empty()) value["content"] = delta.content;
  if (!delta.reasoning.empty()) value["reasoning_content"] = delta.reasoning;
  if (!delta.tool_calls.empty()) {
    json::array calls;
    for (const auto& call : delta.tool_calls) {
      json::object read{{"index", call.index}};
      json::object function;
      if (!call.id.empty()) read["id"] = call.id;
      if (!call.name.empty()) {
        read["type"] = "function";
        function["name"] = call.name;
      }
      function["arguments"] = call.arguments;
      read["function"] = std::move(function);
      calls.emplace_back(std::move(read));
    }
    value["tool_calls"] = std::move(calls);
  }
  bool with_logprobs = frame_.logprobs && !delta.logprobs.empty();
  if (value.empty() && !with_logprobs) return {};
  if (value.empty()) value["content"] = "";
  std::string events = role(choice);
  return events + chunk(choice, std::move(value), nullptr, with_logprobs ? &delta.logprobs : nullptr);
}

std::string OpenAiChatFormat::finished(int choice, const agent::TaskResult& result) {
  usages_.push_back(result.usage);
  std::string events = role(choice);
  return events + chunk(choice, {}, result.finish_reason.c_str(), nullptr);
}

std::string OpenAiChatFormat::end() {
  std::string events;
  if (frame_.include_usage) {
    engine::Usage usage = total_usage(usages_);
    events = chunk({}, &usage);
  }
  return events + sse_event("", "[DONE]");
}

std::string OpenAiChatFormat::broken(const ApiError& error) {
  return sse_event("", error_body(error, ErrorStyle::openai));
}

}  // namespace skep::api::wire
