#include "api/wire/anthropic_request.h"

#include <algorithm>
#include <boost/json.hpp>

#include "api/wire/openai_messages.h"
#include "api/wire/openai_sampling.h"
#include "api/wire/openai_tools.h"

namespace skep::api::wire {

namespace {

constexpr size_t kMostBlocks = 1024;

using Messages = std::vector<language::Message>;

void read_block(Fields& block, const std::string& role, language::Message& message, Messages& before) {
  std::string type = block.required_text("type");
  if (type == "text") {
    message.content += block.text_or("text", "");
  } else if (type == "tool_use" && role == "assistant") {
    std::string input = block.raw_object("input");
    message.tool_calls.push_back(
        {block.required_text("id"), block.required_text("name"), input.empty() ? "{}" : std::move(input)});
  } else if (type == "tool_result" && role == "user") {
    language::Message& result = before.emplace_back();
    result.role = "tool";
    result.tool_call_id = block.required_text("tool_use_id");
    result.content = read_content(block, "content");
    if (block.boolean("is_error").value_or(false)) result.content = "error: " + result.content;
  } else if (type == "thinking" && role == "assistant") {
    message.reasoning += block.text_or("thinking", "");
  } else if (type != "redacted_thinking" && !block.failed()) {
    block.bad("type", "'" + type + "' blocks are not supported here", ErrorCode::unsupported);
  }
}

Messages read_messages(Fields& body) {
  Messages messages;
  for (Fields& given : body.objects("messages", kMostMessages)) {
    language::Message message;
    message.role = given.one_of("role", {"user", "assistant"}).value_or("");
    if (message.role.empty()) given.bad("role", "is required");
    const auto* content = given.find("content");
    if (content == nullptr) given.bad("content", "is required");
    bool results_only = false;
    if (content != nullptr && content->is_array()) {
      size_t count = messages.size();
      for (Fields& block : given.objects("content", kMostBlocks)) read_block(block, message.role, message, messages);
      results_only = messages.size() > count && message.content.empty();
    } else {
      message.content = given.text_or("content", "");
    }
    if (!results_only) messages.push_back(std::move(message));
  }
  if (messages.empty()) body.bad("messages", "must hold at least one message");
  return messages;
}

void read_tools(Fields& body, language::Request& input) {
  for (Fields& tool : body.objects("tools", kMostTools)) {
    std::string type = tool.text_or("type", "custom");
    if (type != "custom") {
      tool.bad("type", "only tools of the type 'custom' are supported", ErrorCode::unsupported);
      continue;
    }
    input.tools.push_back(
        {tool.required_text("name"), tool.text_or("description", ""), tool.raw_object("input_schema")});
  }
  auto choice = body.object("tool_choice");
  if (!choice) return;
  using Kind = language::ToolChoice::Kind;
  std::string type = choice->one_of("type", {"auto", "any", "tool", "none"}).value_or("auto");
  if (type == "any") input.tool_choice.kind = Kind::required;
  if (type == "none") input.tool_choice.kind = Kind::none;
  if (type == "tool") {
    input.tool_choice = {Kind::named, choice->required_text("name")};
    bool known = std::any_of(input.tools.begin(), input.tools.end(),
                             [&](const auto& tool) { return tool.name == input.tool_choice.name; });
    if (!known) choice->bad("name", "names no tool of this request");
  }
  if (type == "any" && input.tools.empty()) choice->bad("type", "requires a call, and there are no tools");
}

}  // namespace

Parsed<AnthropicRequest> parse_anthropic(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  AnthropicRequest result;
  agent::TaskRequest task;
  task.model = body.required_text("model");
  task.input.messages = read_messages(body);
  if (std::string system = read_content(body, "system"); !system.empty()) {
    language::Message message;
    message.role = "system";
    message.content = std::move(system);
    task.input.messages.insert(task.input.messages.begin(), std::move(message));
  }
  read_tools(body, task.input);
  auto& overrides = task.input.overrides;
  if (!body.has("max_tokens")) body.bad("max_tokens", "is required");
  overrides.max_tokens = static_cast<int>(body.integer("max_tokens", 1, kMostTokens).value_or(1));
  overrides.temperature = body.number("temperature", 0, 2);
  overrides.top_p = body.number("top_p", 0, 1);
  if (auto top_k = body.integer("top_k", 0, 1 << 20)) overrides.top_k = static_cast<int>(*top_k);
  task.input.stop = body.texts("stop_sequences", kMostStops);
  if (std::count(task.input.stop.begin(), task.input.stop.end(), "") > 0) {
    body.bad("stop_sequences", "must not hold an empty string");
  }
  if (auto thinking = body.object("thinking")) {
    task.input.think = thinking->one_of("type", {"enabled", "adaptive", "disabled"}) != "disabled";
  }
  read_task_fields(body, request, task);
  result.stream = body.boolean("stream").value_or(false);
  if (error) return tl::unexpected(*error);
  result.tasks.push_back(std::move(task));
  return result;
}

}  // namespace skep::api::wire
