#include "mind/language/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <string_view>
#include <utility>
#include <vector>

#include "mind/language/json_schema.h"
#include "mind/language/json_values.h"
#include "mind/language/markup.h"

namespace skep::language {
namespace {

constexpr size_t kMostStops = 16;
constexpr std::string_view kNoThoughts = "<think>\n\n</think>\n\n";
constexpr std::string_view kThoughts = "<think>\n";

Status check(const Request& request) {
  const auto wrong = [](std::string message) { return fail(ErrorCode::invalid_argument, std::move(message)); };
  if (request.messages.empty() && request.prompt.empty()) return wrong("there is neither a message nor a prompt");
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const Message& m = request.messages[i];
    if (m.role != "system" && m.role != "user" && m.role != "assistant" && m.role != "tool") {
      return wrong(fmt::format("messages[{}].role is \"{}\", it must be system, user, assistant or tool", i, m.role));
    }
    if (!m.tool_calls.empty() && m.role != "assistant") {
      return wrong(fmt::format("messages[{}].tool_calls: only the assistant calls tools", i));
    }
  }
  if (request.stop.size() > kMostStops) {
    return wrong(fmt::format("{} stop strings, the most is {}", request.stop.size(), kMostStops));
  }
  if (std::any_of(request.stop.begin(), request.stop.end(), [](const std::string& s) { return s.empty(); })) {
    return wrong("a stop string is empty");
  }
  if (request.overrides.top_logprobs < 0 || request.overrides.top_logprobs > 20) {
    return wrong(fmt::format("top_logprobs is {}, it must be from 0 to 20", request.overrides.top_logprobs));
  }
  return {};
}

// The tools that may be called: none, all, or the one that is named.
Result<std::vector<Tool>> callable(const Request& request) {
  SKEP_CHECK(check_tools(request.tools));
  switch (request.tool_choice.kind) {
    case ToolChoice::Kind::none:
      return std::vector<Tool>();
    case ToolChoice::Kind::automatic:
      return request.tools;
    case ToolChoice::Kind::required:
      if (request.tools.empty())
        return fail(ErrorCode::invalid_argument, "tool_choice is required and there are no tools");
      return request.tools;
    case ToolChoice::Kind::named:
      break;
  }
  for (const Tool& tool : request.tools) {
    if (tool.name == request.tool_choice.name) return std::vector<Tool>{tool};
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("tool_choice names \"{}\", which is none of the tools", request.tool_choice.name));
}

bool forced(const Request& request) {
  return request.tool_choice.kind == ToolChoice::Kind::required || request.tool_choice.kind == ToolChoice::Kind::named;
}

void append(std::string& text, std::string_view part) {
  if (part.empty()) return;
  if (!text.empty()) text += "\n\n";
  text += part;
}

std::string said_format(const Request& request) {
  switch (request.format.kind) {
    case ResponseFormat::Kind::json_object:
      return "Answer with one JSON object and nothing else.";
    case ResponseFormat::Kind::json_schema:
      return "Answer with nothing but JSON that is valid under this schema:\n" + request.format.schema;
    case ResponseFormat::Kind::text:
      break;
  }
  return {};
}

// Grammar and schema of the whole answer, where there is one.
Status constrain(const Request& request, const std::vector<Tool>& tools, TemplateFamily family,
                 engine::Generate& generate) {
  Gbnf grammar;
  if (forced(request)) {
    SKEP_TRY(const std::string call, call_expression(tools, "arguments", grammar));
    generate.grammar = grammar.text(call);
    generate.json_schema = call_schema(tools);
    return {};
  }
  std::string answer;
  if (request.format.kind == ResponseFormat::Kind::json_object) {
    answer = any_object(grammar);
    generate.json_schema = R"({"type":"object"})";
  } else if (request.format.kind == ResponseFormat::Kind::json_schema) {
    SKEP_TRY(answer, add_schema(request.format.schema, "response_format", grammar));
    generate.json_schema = request.format.schema;
  } else {
    return {};
  }
  if (!tools.empty()) {
    const bool bare = family == TemplateFamily::llama3;
    SKEP_TRY(const std::string call, call_expression(tools, bare ? "parameters" : "arguments", grammar));
    answer = bare ? fmt::format("{} | {}", call, answer)
                  : fmt::format("{} {} {} | {}", Gbnf::literal("<tool_call>\n"), call, Gbnf::literal("\n</tool_call>"),
                                answer);
    generate.json_schema.clear();  // says nothing of calls
  }
  generate.grammar = grammar.text(answer);
  return {};
}

// All but the system messages that begin the conversation. Results that follow each other become one message where the
// family has them in the user's turn, which must not come twice in a row.
void add_messages(const Request& request, size_t from, TemplateFamily family, std::vector<engine::ChatMessage>& out) {
  bool after_result = false;
  for (size_t i = from; i < request.messages.size(); ++i) {
    const Message& m = request.messages[i];
    const bool result = m.role == "tool";
    if (result && after_result && family == TemplateFamily::hermes) {
      out.back().content += "\n" + write_result(m, family);
    } else if (result) {
      out.push_back({std::string(result_role(family)), write_result(m, family)});
    } else if (m.role == "assistant") {
      out.push_back({m.role, write_calls(m, family)});
    } else {
      out.push_back({m.role, m.content});
    }
    after_result = result;
  }
}

// How much of a prompt's beginning is one of the public texts.
int public_bytes(std::string_view whole, const std::vector<std::string>& texts) {
  size_t most = 0;
  for (const std::string& text : texts) {
    if (whole.starts_with(text)) most = std::max(most, text.size());
  }
  return static_cast<int>(most);
}

}  // namespace

Result<Prompt> make_prompt(const Request& request, const PromptContext& context) {
  SKEP_CHECK(check(request));
  Prompt prompt;
  engine::Generate& generate = prompt.generate;
  generate.stop = request.stop;
  generate.ignore_eos = request.overrides.ignore_eos;
  generate.logprobs = request.overrides.logprobs;
  generate.top_logprobs = request.overrides.top_logprobs;
  if (request.raw) {
    if (request.prompt.empty()) return fail(ErrorCode::invalid_argument, "a raw request needs a prompt");
    generate.prompt = request.prompt;
    generate.public_bytes = public_bytes(generate.prompt, context.public_beginnings);
    SKEP_CHECK(constrain(request, {}, TemplateFamily::hermes, generate));
    return prompt;
  }

  const TemplateFamily family = family_of(context.chat_template);
  SKEP_TRY(const std::vector<Tool> tools, callable(request));
  SKEP_CHECK(constrain(request, tools, family, generate));

  std::string system;
  append(system, context.preamble);
  if (context.public_preamble) generate.public_bytes = static_cast<int>(system.size());
  append(system, context.system_prompt);
  if (context.public_preamble && context.public_prompt > 0) {
    assert(context.public_prompt <= context.system_prompt.size());
    generate.public_bytes = static_cast<int>(system.size() - context.system_prompt.size() + context.public_prompt);
  }
  if (!tools.empty()) append(system, describe_tools(tools, family));
  size_t first = 0;
  for (; first < request.messages.size() && request.messages[first].role == "system"; ++first) {
    append(system, request.messages[first].content);
  }
  if (context.say_format && !forced(request)) append(system, said_format(request));
  if (!system.empty()) generate.messages.push_back({"system", std::move(system)});
  add_messages(request, first, family, generate.messages);
  if (!request.prompt.empty()) generate.messages.push_back({"user", request.prompt});
  if (generate.public_bytes == 0) {
    generate.public_bytes = public_bytes(generate.messages.front().content, context.public_beginnings);
  }

  AnswerFormat& format = prompt.format;
  format.id_seed = context.id_seed;
  format.call_only = forced(request);
  for (const Tool& tool : tools) format.tools.push_back(tool.name);

  // The text that the answer goes on from: the caller's own, else the end or the beginning of the thoughts.
  const bool continues = request.prompt.empty() && !request.messages.empty() &&
                         request.messages.back().role == "assistant" && request.messages.back().tool_calls.empty();
  if (continues) {
    generate.assistant_prefix = std::move(generate.messages.back().content);
    generate.messages.pop_back();
    if (generate.messages.empty()) return fail(ErrorCode::invalid_argument, "there is no message to answer");
  } else if (context.thinks) {
    const bool silent = !generate.grammar.empty() || request.think == false;
    if (silent) generate.assistant_prefix = kNoThoughts;
    if (!silent && request.think == true) {
      generate.assistant_prefix = kThoughts;
      format.starts_in_reasoning = true;
    }
    format.reasons = !silent;
  }
  return prompt;
}

}  // namespace skep::language
