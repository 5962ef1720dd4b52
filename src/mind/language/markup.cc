#include "mind/language/markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "base/json.h"
#include "mind/language/json_schema.h"

namespace skep::language {
namespace {

namespace json = boost::json;

json::object parameters_of(const Tool& tool) {
  if (!tool.parameters.empty()) {
    auto parsed = parse_json(tool.parameters, tool.name);
    if (parsed && parsed->is_object()) return std::move(parsed->get_object());
  }
  return {{"type", "object"}, {"properties", json::object()}};
}

std::string described(const Tool& tool) {
  json::object function{{"name", tool.name}};
  if (!tool.description.empty()) function["description"] = tool.description;
  function["parameters"] = parameters_of(tool);
  return json::serialize(json::object{{"type", "function"}, {"function", std::move(function)}});
}

std::string quoted(std::string_view text) { return json::serialize(json::value(text)); }

}  // namespace

TemplateFamily family_of(std::string_view chat_template) {
  const bool llama3 = chat_template.find("<|start_header_id|>") != std::string_view::npos ||
                      chat_template == "llama3" || chat_template == "llama4";
  return llama3 ? TemplateFamily::llama3 : TemplateFamily::hermes;
}

Status check_tools(std::span<const Tool> tools) {
  if (tools.size() > kMostTools) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} tools, the most is {}", tools.size(), kMostTools));
  }
  std::set<std::string_view> names;
  for (const Tool& tool : tools) {
    const bool plain = std::all_of(tool.name.begin(), tool.name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
             c == '.' || c == ':' || c == '/';
    });
    if (tool.name.empty() || tool.name.size() > 128 || !plain) {
      return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is not a tool's name", tool.name),
                  "letters, digits and _ - . : / are allowed, up to 128");
    }
    if (!names.insert(tool.name).second) {
      return fail(ErrorCode::invalid_argument, fmt::format("two tools are named {}", tool.name));
    }
    if (tool.parameters.empty()) continue;
    SKEP_TRY(const json::value parsed, parse_json(tool.parameters, "the parameters of the tool " + tool.name));
    if (!parsed.is_object()) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("the parameters of the tool {} are not an object", tool.name));
    }
  }
  return {};
}

std::string describe_tools(std::span<const Tool> tools, TemplateFamily family) {
  std::string text;
  if (family == TemplateFamily::llama3) {
    text =
        "You have access to the following functions. To call one, answer with nothing but JSON of the form\n"
        "{\"name\": function name, \"parameters\": dictionary of argument names and values}\nDo not use variables.\n";
    for (const Tool& tool : tools) text += "\n" + described(tool) + "\n";
    return text;
  }
  text =
      "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
      "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
  for (const Tool& tool : tools) text += "\n" + described(tool);
  text +=
      "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
      "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
      "</tool_call>";
  return text;
}

std::string write_calls(const Message& assistant, TemplateFamily family) {
  std::string text = assistant.content;
  for (const ToolCall& call : assistant.tool_calls) {
    const std::string arguments = call.arguments.empty() ? "{}" : call.arguments;
    if (!text.empty()) text += family == TemplateFamily::llama3 ? "; " : "\n";
    text += family == TemplateFamily::llama3
                ? fmt::format(R"({{"name": {}, "parameters": {}}})", quoted(call.name), arguments)
                : fmt::format("<tool_call>\n{{\"name\": {}, \"arguments\": {}}}\n</tool_call>", quoted(call.name),
                              arguments);
  }
  return text;
}

std::string write_result(const Message& tool, TemplateFamily family) {
  if (family == TemplateFamily::llama3) return tool.content;
  return "<tool_response>\n" + tool.content + "\n</tool_response>";
}

std::string_view result_role(TemplateFamily family) { return family == TemplateFamily::llama3 ? "ipython" : "user"; }

Result<std::string> call_expression(std::span<const Tool> tools, std::string_view key, Gbnf& grammar) {
  std::vector<std::string> calls;
  for (const Tool& tool : tools) {
    std::string arguments = Gbnf::literal("{}");
    if (!tool.parameters.empty()) {
      SKEP_TRY(arguments, add_schema(json::serialize(parameters_of(tool)), "tool " + tool.name, grammar));
    }
    calls.push_back(fmt::format("{} {} {}", Gbnf::literal(fmt::format(R"({{"name": "{}", "{}": )", tool.name, key)),
                                arguments, Gbnf::literal("}")));
  }
  return grammar.rule("call", Gbnf::any_of(calls));
}

std::string call_schema(std::span<const Tool> tools) {
  json::array calls;
  for (const Tool& tool : tools) {
    json::object arguments = parameters_of(tool);
    // A reference means a place in the tool's own document.
    if (tool.parameters.find("\"$ref\"") != std::string::npos) arguments = {{"type", "object"}};
    calls.push_back(json::object{
        {"type", "object"},
        {"properties", json::object{{"name", json::object{{"type", "string"}, {"enum", json::array{tool.name}}}},
                                    {"arguments", std::move(arguments)}}},
        {"required", json::array{"name", "arguments"}},
        {"additionalProperties", false}});
  }
  if (calls.size() == 1) return json::serialize(calls.front());
  return json::serialize(json::object{{"anyOf", std::move(calls)}});
}

}  // namespace skep::language
