#include "api/wire/openai_messages.h"

#include <boost/json.hpp>

namespace skep::api::wire {

namespace {

constexpr size_t kMostParts = 1024;
constexpr size_t kMostCalls = 128;

std::vector<language::ToolCall> read_calls(Fields& message) {
  std::vector<language::ToolCall> calls;
  for (Fields& call : message.objects("tool_calls", kMostCalls)) {
    language::ToolCall& read = calls.emplace_back();
    read.id = call.text_or("id", "");
    call.one_of("type", {"function"});
    auto function = call.object("function");
    if (!function) {
      call.bad("function", "is required");
      continue;
    }
    read.name = function->required_text("name");
    read.arguments = function->text_or("arguments", "{}");
    if (read.arguments.empty()) read.arguments = "{}";
  }
  return calls;
}

}  // namespace

std::string read_content(Fields& message, std::string_view name) {
  const boost::json::value* content = message.find(name);
  if (content == nullptr || content->is_string()) return message.text_or(name, "");
  if (!content->is_array()) {
    message.bad(name, "must be a string or an array of content parts");
    return {};
  }
  std::string text;
  for (Fields& part : message.objects(name, kMostParts)) {
    std::string type = part.required_text("type");
    if (type == "text" || type == "input_text" || type == "output_text") {
      text += part.text_or("text", "");
    } else if (type == "refusal") {
      text += part.text_or("refusal", "");
    } else if (!part.failed()) {
      part.bad("type", "'" + type + "' parts are not supported: the models here read text only",
               ErrorCode::unsupported);
    }
  }
  return text;
}

std::vector<language::Message> read_openai_messages(Fields& body) {
  std::vector<language::Message> messages;
  for (Fields& message : body.objects("messages", kMostMessages)) {
    language::Message& read = messages.emplace_back();
    read.role = message.required_text("role");
    if (read.role == "developer") read.role = "system";
    if (read.role != "system" && read.role != "user" && read.role != "assistant" && read.role != "tool") {
      message.bad("role", "must be one of system, developer, user, assistant, tool");
    }
    read.content = read_content(message, "content");
    if (read.role == "assistant") {
      read.tool_calls = read_calls(message);
      read.reasoning = message.text_or("reasoning_content", "");
    } else if (!message.has("content")) {
      message.bad("content", "is required");
    }
    if (read.role == "tool") read.tool_call_id = message.required_text("tool_call_id");
    read.name = message.text_or("name", "");
  }
  if (messages.empty()) body.bad("messages", "must hold at least one message");
  return messages;
}

}  // namespace skep::api::wire
