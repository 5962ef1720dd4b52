#include "api/wire/anthropic_format.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "base/json.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

std::string event(const char* type, json::object fields) {
  json::object value{{"type", type}};
  for (auto& [key, field] : fields) value.emplace(key, std::move(field));
  return sse_event(type, to_text(value));
}

std::string stop_reason(const std::string& finish_reason) {
  if (finish_reason == "length") return "max_tokens";
  return finish_reason == "tool_calls" ? "tool_use" : "end_turn";
}

// What came from cells that were there already is counted apart.
json::object usage_value(const engine::Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

json::object tool_block(const std::string& id, const std::string& name, json::value input) {
  return {{"type", "tool_use"}, {"id", id}, {"name", name}, {"input", std::move(input)}};
}

json::object text_block(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

json::object thinking_block(const std::string& text) {
  return {{"type", "thinking"}, {"thinking", text}, {"signature", ""}};
}

json::object message_value(const std::string& id, const std::string& model, json::array content) {
  return {{"id", id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", model},
          {"content", std::move(content)},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

}  // namespace

std::string AnthropicFormat::whole(const std::vector<Answer>& answers) {
  const agent::TaskResult& result = answers.front().result;
  const language::Message& message = result.message;
  json::array content;
  if (!message.reasoning.empty()) content.emplace_back(thinking_block(message.reasoning));
  if (!message.content.empty() || message.tool_calls.empty()) content.emplace_back(text_block(message.content));
  for (const auto& call : message.tool_calls) {
    auto input = parse_json(call.arguments, "arguments");
    content.emplace_back(tool_block(call.id, call.name, input ? *input : json::object()));
  }
  json::object value = message_value(id_, result.route.model, std::move(content));
  value["stop_reason"] = stop_reason(result.finish_reason);
  value["usage"] = usage_value(result.usage);
  return to_text(value);
}

std::string AnthropicFormat::started(int /*choice*/, const agent::TaskStarted& started) {
  if (!model_known_) model_ = started.route.model;
  model_known_ = true;
  return {};
}

std::string AnthropicFormat::begin() {
  if (begun_) return {};
  begun_ = true;
  json::object message = message_value(id_, model_, {});
  message["usage"] = usage_value({});  // the figures come with message_delta
  return event("message_start", {{"message", std::move(message)}});
}

std::string AnthropicFormat::open(Block kind, json::object block) {
  std::string events = close();
  block_ = kind;
  ++index_;
  return events + event("content_block_start", {{"index", index_}, {"content_block", std::move(block)}});
}

std::string AnthropicFormat::close() {
  if (block_ == Block::none) return {};
  block_ = Block::none;
  return event("content_block_stop", {{"index", index_}});
}

std::string AnthropicFormat::block_delta(json::object delta) const {
  return event("content_block_delta", {{"index", index_}, {"delta", std::move(delta)}});
}

std::string AnthropicFormat::delta(int /*choice*/, const language::Delta& delta) {
  if (delta.content.empty() && delta.reasoning.empty() && delta.tool_calls.empty()) return {};
  std::string events = begin();
  if (!delta.reasoning.empty()) {
    if (block_ != Block::thinking) events += open(Block::thinking, thinking_block(""));
    events += block_delta({{"type", "thinking_delta"}, {"thinking", delta.reasoning}});
  }
  if (!delta.content.empty()) {
    if (block_ != Block::text) events += open(Block::text, text_block(""));
    events += block_delta({{"type", "text_delta"}, {"text", delta.content}});
  }
  for (const auto& call : delta.tool_calls) {
    if (block_ != Block::tool || call_ != call.index) {
      events += open(Block::tool, tool_block(call.id, call.name, json::object()));
      call_ = call.index;
    }
    if (!call.arguments.empty()) {
      events += block_delta({{"type", "input_json_delta"}, {"partial_json", call.arguments}});
    }
  }
  return events;
}

std::string AnthropicFormat::finished(int /*choice*/, const agent::TaskResult& result) {
  std::string events = begin();
  if (index_ < 0) events += open(Block::text, text_block(""));
  events += close();
  json::object stop{{"stop_reason", stop_reason(result.finish_reason)}, {"stop_sequence", nullptr}};
  events += event("message_delta", {{"delta", std::move(stop)}, {"usage", usage_value(result.usage)}});
  return events + event("message_stop", {});
}

std::string AnthropicFormat::broken(const ApiError& error) {
  return sse_event("error", error_body(error, ErrorStyle::anthropic));
}

}  // namespace skep::api::wire
