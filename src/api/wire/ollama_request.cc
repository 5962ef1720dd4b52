#include "api/wire/ollama_request.h"

#include <algorithm>
#include <boost/json.hpp>

#include "api/wire/ollama_context.h"
#include "api/wire/ollama_time.h"
#include "api/wire/openai_messages.h"
#include "api/wire/openai_sampling.h"
#include "api/wire/openai_tools.h"

namespace skep::api::wire {

namespace {

constexpr size_t kMostCalls = 128;

void read_options(Fields& body, language::Request& input) {
  auto options = body.object("options");
  if (!options) return;
  auto& overrides = input.overrides;
  overrides.temperature = options->number("temperature", 0, 100);
  overrides.top_p = options->number("top_p", 0, 1);
  overrides.min_p = options->number("min_p", 0, 1);
  overrides.repeat_penalty = options->number("repeat_penalty", 0, 10);
  overrides.presence_penalty = options->number("presence_penalty", -100, 100);
  overrides.frequency_penalty = options->number("frequency_penalty", -100, 100);
  if (auto top_k = options->integer("top_k", -1, 1 << 20))
    overrides.top_k = static_cast<int>(std::max<int64_t>(0, *top_k));
  if (auto seed = options->integer("seed", INT64_MIN, INT64_MAX)) overrides.seed = static_cast<uint32_t>(*seed);
  // -1 and -2 mean "no limit of mine".
  if (auto most = options->integer("num_predict", -2, kMostTokens); most && *most > 0) {
    overrides.max_tokens = static_cast<int>(*most);
  }
  if (auto context = options->integer("num_ctx", 1, 1 << 24)) overrides.context_tokens = static_cast<int>(*context);
  input.stop = options->texts("stop", kMostStops);
  input.stop.erase(std::remove(input.stop.begin(), input.stop.end(), ""), input.stop.end());
}

void read_format(Fields& body, language::Request& input) {
  using Kind = language::ResponseFormat::Kind;
  const auto* format = body.find("format");
  if (format == nullptr) return;
  if (format->is_string()) {
    auto word = body.one_of("format", {"", "json"});
    if (word == "json") input.format.kind = Kind::json_object;
  } else {
    input.format = {Kind::json_schema, body.raw_object("format")};
  }
}

void read_think(Fields& body, language::Request& input) {
  const auto* think = body.find("think");
  if (think == nullptr) return;
  if (think->is_string()) {
    input.think = body.one_of("think", {"low", "medium", "high"}).has_value();
  } else {
    input.think = body.boolean("think");
  }
}

void refuse_images(Fields& holder) {
  const auto* images = holder.find("images");
  const auto* array = images == nullptr ? nullptr : images->if_array();
  if (array != nullptr && !array->empty()) {
    holder.bad("images", "are not supported: the models here read text only", ErrorCode::unsupported);
  }
}

// Ollama's calls carry no ids, and its tool messages only the tool's name: ids are made here, and answers matched to
// calls in their order.
std::vector<language::Message> read_messages(Fields& body) {
  std::vector<language::Message> messages;
  std::vector<language::ToolCall> unanswered;
  int calls = 0;
  for (Fields& message : body.objects("messages", kMostMessages)) {
    language::Message& read = messages.emplace_back();
    read.role = message.one_of("role", {"system", "user", "assistant", "tool"}).value_or("");
    if (read.role.empty()) message.bad("role", "is required");
    read.content = message.text_or("content", "");
    read.reasoning = message.text_or("thinking", "");
    refuse_images(message);
    for (Fields& call : message.objects("tool_calls", kMostCalls)) {
      auto function = call.object("function");
      if (!function) {
        call.bad("function", "is required");
        continue;
      }
      std::string arguments = function->raw_object("arguments");
      if (arguments.empty()) arguments = "{}";
      read.tool_calls.push_back(
          {call.text("id").value_or(fmt::format("call_{}", calls)), function->required_text("name"), arguments});
      ++calls;
      unanswered.push_back(read.tool_calls.back());
    }
    if (read.role != "tool") continue;
    read.name = message.text("tool_name").value_or(message.text_or("name", ""));
    auto answered = std::find_if(unanswered.begin(), unanswered.end(), [&](const language::ToolCall& call) {
      return read.name.empty() || call.name == read.name;
    });
    if (auto id = message.text("tool_call_id")) {
      read.tool_call_id = *id;
    } else if (answered != unanswered.end()) {
      read.tool_call_id = answered->id;
      if (read.name.empty()) read.name = answered->name;
      unanswered.erase(answered);
    }
  }
  return messages;
}

void read_common(Fields& body, const HttpRequest& request, OllamaRequest& result, agent::TaskRequest& task) {
  result.model = body.text("model").value_or(body.text_or("name", ""));
  if (result.model.empty()) body.bad("model", "is required");
  result.stream = body.boolean("stream").value_or(true);
  result.keep_alive = read_keep_alive(body);
  task.model = result.model;
  task.keep_alive = result.keep_alive;
  read_options(body, task.input);
  read_format(body, task.input);
  read_think(body, task.input);
  result.logprobs = task.input.overrides.logprobs = body.boolean("logprobs").value_or(false);
  task.input.overrides.top_logprobs = static_cast<int>(body.integer("top_logprobs", 0, 20).value_or(0));
  read_task_fields(body, request, task);
}

}  // namespace

Parsed<OllamaRequest> parse_ollama_chat(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  OllamaRequest result;
  agent::TaskRequest task;
  read_common(body, request, result, task);
  task.input.messages = read_messages(body);
  read_openai_tools(body, ToolShape::nested, task.input);
  if (error) return tl::unexpected(*error);
  result.load_only = task.input.messages.empty();
  result.tasks.push_back(std::move(task));
  return result;
}

Parsed<OllamaRequest> parse_ollama_generate(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  OllamaRequest result;
  agent::TaskRequest task;
  read_common(body, request, result, task);
  refuse_images(body);
  for (const char* name : {"suffix", "template"}) {
    if (!body.text_or(name, "").empty()) body.bad(name, "is not supported", ErrorCode::unsupported);
  }
  std::string prompt = body.text_or("prompt", "");
  result.load_only = prompt.empty();
  if (body.boolean("raw").value_or(false)) {
    task.input.raw = true;
    task.input.prompt = prompt;
  } else {
    auto& messages = task.input.messages;
    messages = read_ollama_context(body);
    std::string system = body.text_or("system", "");
    if (!system.empty()) {
      // Replaces the one of the conversation so far.
      messages.erase(std::remove_if(messages.begin(), messages.end(), [](const auto& m) { return m.role == "system"; }),
                     messages.end());
      messages.insert(messages.begin(), language::Message{"system", system, {}, {}, {}, {}});
    }
    messages.push_back(language::Message{"user", prompt, {}, {}, {}, {}});
    result.conversation = messages;
  }
  if (error) return tl::unexpected(*error);
  result.tasks.push_back(std::move(task));
  return result;
}

}  // namespace skep::api::wire
