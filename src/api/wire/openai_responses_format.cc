#include "api/wire/openai_responses_format.h"

#include "api/wire/json_text.h"
#include "api/wire/openai_usage.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

json::object usage_value(const engine::Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

json::array logprobs_value(const std::vector<engine::TokenLogprob>& tokens) {
  return std::move(openai_logprobs(tokens).as_object()["content"].as_array());
}

}  // namespace

json::object OpenAiResponsesFormat::part_value(const Item& item, bool complete) {
  std::string text = complete ? item.text : std::string();
  if (item.kind == Kind::reasoning) return {{"type", "reasoning_text"}, {"text", text}};
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", json::array()},
          {"logprobs", complete ? item.logprobs : json::array()}};
}

json::object OpenAiResponsesFormat::item_value(const Item& item, bool complete) const {
  const char* status = complete ? "completed" : "in_progress";
  json::array content;
  if (complete && item.kind != Kind::call) content.emplace_back(part_value(item, true));
  switch (item.kind) {
    case Kind::reasoning:
      return {{"id", item.id},
              {"type", "reasoning"},
              {"status", status},
              {"summary", json::array()},
              {"content", std::move(content)}};
    case Kind::message:
      return {{"id", item.id},
              {"type", "message"},
              {"status", status},
              {"role", "assistant"},
              {"content", std::move(content)}};
    case Kind::call:
      break;
  }
  return {{"id", item.id},           {"type", "function_call"}, {"status", status},
          {"call_id", item.call_id}, {"name", item.name},       {"arguments", complete ? item.text : std::string()}};
}

json::object OpenAiResponsesFormat::response(const char* status) const {
  json::array output;
  for (const Item& item : items_) {
    output.emplace_back(item_value(item, true));
    if (open_ && &item == &items_.back()) output.back().as_object()["status"] = "incomplete";
  }
  json::object value{{"id", frame_.id},       {"object", "response"},       {"created_at", frame_.created},
                     {"status", status},      {"error", nullptr},           {"incomplete_details", nullptr},
                     {"model", frame_.model}, {"output", std::move(output)}};
  for (const auto& [name, asked] : frame_.echo) value.emplace(name, asked);
  value["usage"] = nullptr;
  return value;
}

void OpenAiResponsesFormat::settle(json::object& response, const agent::TaskResult& result) const {
  response["usage"] = usage_value(result.usage);
  if (result.finish_reason == "length") {
    response["status"] = "incomplete";
    response["incomplete_details"] = json::object{{"reason", "max_output_tokens"}};
  }
}

std::string OpenAiResponsesFormat::new_item_id(Kind kind) {
  const char* prefix = kind == Kind::reasoning ? "rs" : kind == Kind::message ? "msg" : "fc";
  return fmt::format("{}_{}_{}", prefix, frame_.id, items_.size());
}

std::string OpenAiResponsesFormat::whole(const std::vector<Answer>& answers) {
  const Answer& answer = answers.front();
  const language::Message& message = answer.result.message;
  frame_.model = answer.result.route.model;
  auto add = [this](Kind kind, const std::string& text) -> Item& {
    Item item{kind, new_item_id(kind), text, {}, {}, 0, {}};
    return items_.emplace_back(std::move(item));
  };
  if (!message.reasoning.empty()) add(Kind::reasoning, message.reasoning);
  if (!message.content.empty() || message.tool_calls.empty()) {
    Item& item = add(Kind::message, message.content);
    if (frame_.logprobs) item.logprobs = logprobs_value(answer.logprobs);
  }
  for (const auto& call : message.tool_calls) {
    Item& item = add(Kind::call, call.arguments);
    item.call_id = call.id;
    item.name = call.name;
  }
  json::object value = response("completed");
  settle(value, answer.result);
  return to_text(value);
}

std::string OpenAiResponsesFormat::event(const char* type, json::object fields) {
  json::object value{{"type", type}, {"sequence_number", sequence_++}};
  for (auto& [key, field] : fields) value.emplace(key, std::move(field));
  return sse_event(type, to_text(value));
}

std::string OpenAiResponsesFormat::started(int /*choice*/, const agent::TaskStarted& started) {
  if (!model_known_) frame_.model = started.route.model;
  model_known_ = true;
  return {};
}

std::string OpenAiResponsesFormat::begin() {
  if (begun_) return {};
  begun_ = true;
  std::string events = event("response.created", {{"response", response("in_progress")}});
  return events + event("response.in_progress", {{"response", response("in_progress")}});
}

std::string OpenAiResponsesFormat::open(Kind kind, const language::Delta::ToolCallDelta* call) {
  std::string events = close_item();
  Item item{kind, new_item_id(kind), {}, {}, {}, 0, {}};
  if (call != nullptr) {
    item.call_id = call->id;
    item.name = call->name;
    item.call_index = call->index;
  }
  size_t index = items_.size();
  items_.push_back(std::move(item));
  open_ = true;
  const Item& opened = items_.back();
  events += event("response.output_item.added", {{"output_index", index}, {"item", item_value(opened, false)}});
  if (kind != Kind::call) {
    events += event(
        "response.content_part.added",
        {{"item_id", opened.id}, {"output_index", index}, {"content_index", 0}, {"part", part_value(opened, false)}});
  }
  return events;
}

std::string OpenAiResponsesFormat::add_text(Kind kind, const std::string& text, json::array logprobs) {
  std::string events = is_open(kind) ? "" : open(kind);
  Item& item = items_.back();
  item.text += text;
  json::object fields{{"item_id", item.id}, {"output_index", items_.size() - 1}, {"content_index", 0}, {"delta", text}};
  if (kind == Kind::reasoning) return events + event("response.reasoning_text.delta", std::move(fields));
  for (const auto& token : logprobs) item.logprobs.push_back(token);
  fields["logprobs"] = std::move(logprobs);
  return events + event("response.output_text.delta", std::move(fields));
}

std::string OpenAiResponsesFormat::add_call(const language::Delta::ToolCallDelta& call) {
  bool same = is_open(Kind::call) && items_.back().call_index == call.index;
  std::string events = same ? "" : open(Kind::call, &call);
  if (call.arguments.empty()) return events;
  Item& item = items_.back();
  item.text += call.arguments;
  return events + event("response.function_call_arguments.delta",
                        {{"item_id", item.id}, {"output_index", items_.size() - 1}, {"delta", call.arguments}});
}

std::string OpenAiResponsesFormat::close_item() {
  if (!open_) return {};
  open_ = false;
  const Item& item = items_.back();
  size_t index = items_.size() - 1;
  std::string events;
  if (item.kind == Kind::call) {
    events = event("response.function_call_arguments.done",
                   {{"item_id", item.id}, {"output_index", index}, {"name", item.name}, {"arguments", item.text}});
  } else {
    json::object fields{{"item_id", item.id}, {"output_index", index}, {"content_index", 0}, {"text", item.text}};
    if (item.kind == Kind::message) fields["logprobs"] = item.logprobs;
    events = event(item.kind == Kind::message ? "response.output_text.done" : "response.reasoning_text.done",
                   std::move(fields));
    events +=
        event("response.content_part.done",
              {{"item_id", item.id}, {"output_index", index}, {"content_index", 0}, {"part", part_value(item, true)}});
  }
  return events + event("response.output_item.done", {{"output_index", index}, {"item", item_value(item, true)}});
}

std::string OpenAiResponsesFormat::delta(int /*choice*/, const language::Delta& delta) {
  json::array logprobs = frame_.logprobs ? logprobs_value(delta.logprobs) : json::array();
  bool speaks = !delta.content.empty() || !logprobs.empty();
  if (!speaks && delta.reasoning.empty() && delta.tool_calls.empty()) return {};
  std::string events = begin();
  if (!delta.reasoning.empty()) events += add_text(Kind::reasoning, delta.reasoning, {});
  if (speaks) events += add_text(Kind::message, delta.content, std::move(logprobs));
  for (const auto& call : delta.tool_calls) events += add_call(call);
  return events;
}

std::string OpenAiResponsesFormat::finished(int /*choice*/, const agent::TaskResult& result) {
  std::string events = begin();
  if (items_.empty()) events += open(Kind::message);
  events += close_item();
  json::object value = response("completed");
  settle(value, result);
  bool complete = value["status"] == "completed";
  return events + event(complete ? "response.completed" : "response.incomplete", {{"response", std::move(value)}});
}

std::string OpenAiResponsesFormat::broken(const ApiError& error) {
  std::string events = begin();
  json::object value = response("failed");
  value["error"] = json::object{{"code", to_string(error.error.code)}, {"message", error.error.text()}};
  return events + event("response.failed", {{"response", std::move(value)}});
}

}  // namespace skep::api::wire
