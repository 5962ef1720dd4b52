#include "api/wire/openai_tools.h"

#include <algorithm>
#include <boost/json.hpp>

namespace skep::api::wire {

namespace {

void read_tool_choice(Fields& body, ToolShape shape, language::Request& input) {
  using Kind = language::ToolChoice::Kind;
  const auto* choice = body.find("tool_choice");
  if (choice == nullptr) return;
  if (choice->is_string()) {
    auto word = body.one_of("tool_choice", {"none", "auto", "required"}).value_or("auto");
    input.tool_choice.kind = word == "none" ? Kind::none : word == "required" ? Kind::required : Kind::automatic;
  } else if (auto object = body.object("tool_choice")) {
    object->one_of("type", {"function"});
    auto function = shape == ToolShape::nested ? object->object("function") : object;
    if (!function) {
      object->bad("function", "is required");
      return;
    }
    input.tool_choice = {Kind::named, function->required_text("name")};
    bool known = std::any_of(input.tools.begin(), input.tools.end(),
                             [&](const language::Tool& tool) { return tool.name == input.tool_choice.name; });
    if (!known) function->bad("name", "names no tool of this request");
  }
  if (input.tool_choice.kind == Kind::required && input.tools.empty()) {
    body.bad("tool_choice", "requires a call, and there are no tools");
  }
}

}  // namespace

void read_openai_tools(Fields& body, ToolShape shape, language::Request& input) {
  for (Fields& tool : body.objects("tools", kMostTools)) {
    std::string type = tool.required_text("type");
    if (type != "function") {
      tool.bad("type", "only tools of the type 'function' are supported", ErrorCode::unsupported);
      continue;
    }
    auto function = shape == ToolShape::nested ? tool.object("function") : std::optional<Fields>(tool);
    if (!function) {
      tool.bad("function", "is required");
      continue;
    }
    input.tools.push_back(
        {function->required_text("name"), function->text_or("description", ""), function->raw_object("parameters")});
  }
  read_tool_choice(body, shape, input);
}

language::ResponseFormat read_response_format(Fields& holder, std::string_view name, ToolShape shape) {
  using Kind = language::ResponseFormat::Kind;
  auto format = holder.object(name);
  if (!format) return {};
  auto type = format->one_of("type", {"text", "json_object", "json_schema"});
  if (!type) format->bad("type", "is required");
  if (type == "json_object") return {Kind::json_object, {}};
  if (type != "json_schema") return {};
  auto holds_schema = shape == ToolShape::nested ? format->object("json_schema") : format;
  if (!holds_schema) {
    format->bad("json_schema", "is required");
    return {};
  }
  if (!holds_schema->has("schema")) holds_schema->bad("schema", "is required");
  return {Kind::json_schema, holds_schema->raw_object("schema")};
}

std::optional<bool> read_effort(Fields& holder, std::string_view name) {
  auto effort = holder.one_of(name, {"none", "minimal", "low", "medium", "high", "xhigh"});
  if (!effort) return std::nullopt;
  return *effort != "none" && *effort != "minimal";
}

}  // namespace skep::api::wire
