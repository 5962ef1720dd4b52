#include "api/wire/control_client.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "base/json.h"
#include "model/json_fields.h"

namespace skep::api::wire {

namespace json = boost::json;
using model::json_fields::count_of;
using model::json_fields::field;
using model::json_fields::number_of;
using model::json_fields::text_of;

namespace {

constexpr JsonLimits kAnswerLimits{.size = 64_MiB, .depth = 64};

// JSON text that was checked when the request was made; null where it isn't.
json::value embedded(const std::string& text) {
  auto value = parse_json(text, "schema");
  return value ? std::move(*value) : json::value();
}

json::array messages_value(const std::vector<language::Message>& messages) {
  json::array all;
  for (const auto& message : messages) {
    json::object one{{"role", message.role}, {"content", message.content}};
    if (!message.reasoning.empty()) one["reasoning_content"] = message.reasoning;
    if (!message.tool_call_id.empty()) one["tool_call_id"] = message.tool_call_id;
    if (!message.name.empty()) one["name"] = message.name;
    json::array calls;
    for (const auto& call : message.tool_calls) {
      calls.push_back(
          {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    if (!calls.empty()) one["tool_calls"] = std::move(calls);
    all.emplace_back(std::move(one));
  }
  return all;
}

void write_tools(const language::Request& input, json::object& body) {
  if (input.tools.empty()) return;
  json::array tools;
  for (const auto& tool : input.tools) {
    json::object function{{"name", tool.name}, {"description", tool.description}};
    if (!tool.parameters.empty()) function["parameters"] = embedded(tool.parameters);
    tools.emplace_back(json::object{{"type", "function"}, {"function", std::move(function)}});
  }
  body["tools"] = std::move(tools);
  using Kind = language::ToolChoice::Kind;
  switch (input.tool_choice.kind) {
    case Kind::automatic:
      break;
    case Kind::none:
      body["tool_choice"] = "none";
      break;
    case Kind::required:
      body["tool_choice"] = "required";
      break;
    case Kind::named:
      body["tool_choice"] = json::object{{"type", "function"}, {"function", {{"name", input.tool_choice.name}}}};
  }
}

void write_format(const language::ResponseFormat& format, json::object& body) {
  using Kind = language::ResponseFormat::Kind;
  if (format.kind == Kind::json_object) body["response_format"] = json::object{{"type", "json_object"}};
  if (format.kind == Kind::json_schema) {
    body["response_format"] =
        json::object{{"type", "json_schema"},
                     {"json_schema", json::object{{"name", "answer"}, {"schema", embedded(format.schema)}}}};
  }
}

template <typename T>
void write(json::object& body, const char* name, const std::optional<T>& value) {
  if (value) body[name] = *value;
}

void write_overrides(const language::Overrides& overrides, json::object& body) {
  write(body, "temperature", overrides.temperature);
  write(body, "top_p", overrides.top_p);
  write(body, "min_p", overrides.min_p);
  write(body, "top_k", overrides.top_k);
  write(body, "repeat_penalty", overrides.repeat_penalty);
  write(body, "presence_penalty", overrides.presence_penalty);
  write(body, "frequency_penalty", overrides.frequency_penalty);
  write(body, "max_tokens", overrides.max_tokens);
  write(body, "seed", overrides.seed);
  if (overrides.ignore_eos) body["ignore_eos"] = true;
}

double real_of(const json::value* from) { return from != nullptr && from->is_number() ? from->to_number<double>() : 0; }
Duration milliseconds_of(const json::value* from) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(real_of(from)));
}
Bytes bytes_of(const json::value* from) { return Bytes(number_of(from)); }

agent::RouteDecision route_of(const json::value* from) {
  return {text_of(field(from, "model")), text_of(field(from, "tier")), text_of(field(from, "reason")),
          real_of(field(from, "complexity"))};
}

const json::array& list_of(const json::value* from) {
  static const json::array kNone;
  return from != nullptr && from->is_array() ? from->get_array() : kNone;
}

agent::TaskResult result_of(const json::value& value) {
  agent::TaskResult result;
  result.id = static_cast<agent::TaskId>(number_of(field(&value, "id")));
  result.agent = text_of(field(&value, "agent"));
  result.route = route_of(field(&value, "route"));
  const json::value* message = field(&value, "message");
  result.message.role = "assistant";
  result.message.content = text_of(field(message, "content"));
  result.message.reasoning = text_of(field(message, "reasoning_content"));
  for (const json::value& call : list_of(field(message, "tool_calls"))) {
    const json::value* function = field(&call, "function");
    result.message.tool_calls.push_back(
        {text_of(field(&call, "id")), text_of(field(function, "name")), text_of(field(function, "arguments"))});
  }
  result.finish_reason = text_of(field(&value, "finish_reason"));
  const json::value* usage = field(&value, "usage");
  result.usage = {count_of(field(usage, "prompt_tokens")),
                  count_of(field(field(usage, "prompt_tokens_details"), "cached_tokens")),
                  count_of(field(usage, "completion_tokens"))};
  result.seed = static_cast<uint32_t>(number_of(field(&value, "seed")));
  result.attempts = std::max(1, count_of(field(&value, "attempts")));
  result.queued = milliseconds_of(field(&value, "queued_ms"));
  result.load = milliseconds_of(field(&value, "load_ms"));
  result.prefill = milliseconds_of(field(&value, "prefill_ms"));
  result.decode = milliseconds_of(field(&value, "decode_ms"));
  result.total = milliseconds_of(field(&value, "total_ms"));
  return result;
}

language::Delta delta_of(const json::value& value) {
  language::Delta delta;
  delta.content = text_of(field(&value, "content"));
  delta.reasoning = text_of(field(&value, "reasoning_content"));
  for (const json::value& call : list_of(field(&value, "tool_calls"))) {
    delta.tool_calls.push_back({count_of(field(&call, "index")), text_of(field(&call, "id")),
                                text_of(field(&call, "name")), text_of(field(&call, "arguments"))});
  }
  return delta;
}

Error error_of(const json::value& value) {
  Error error;
  error.code = error_code_from(text_of(field(&value, "code"))).value_or(ErrorCode::internal);
  error.message = text_of(field(&value, "error"));
  return error;
}

}  // namespace

std::string control_task_body(const agent::TaskRequest& task) {
  const language::Request& input = task.input;
  json::object body{{"messages", messages_value(input.messages)}, {"stream", true}};
  if (!task.agent.empty()) body["agent"] = task.agent;
  if (!task.model.empty()) body["model"] = task.model;
  if (task.priority) body["priority"] = scheduling::to_string(*task.priority);
  if (task.deadline) {
    body["deadline_ms"] =
        std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(*task.deadline).count());
  }
  if (!input.task_type.empty()) body["task_type"] = input.task_type;
  if (input.think) body["reasoning_effort"] = *input.think ? "medium" : "none";
  if (!input.stop.empty()) body["stop"] = json::array(input.stop.begin(), input.stop.end());
  write_tools(input, body);
  write_format(input.format, body);
  write_overrides(input.overrides, body);
  return to_text(body);
}

Result<ControlEvent> read_control_event(std::string_view data) {
  SKEP_TRY(json::value value, parse_json(data, "the daemon's event", kAnswerLimits));
  if (field(&value, "error") != nullptr) return fail(error_of(value));
  if (field(&value, "message") != nullptr) return ControlEvent(result_of(value));
  if (const json::value* route = field(&value, "route")) {
    return ControlEvent(
        agent::TaskStarted{static_cast<agent::TaskId>(number_of(field(&value, "id"))), route_of(route)});
  }
  return ControlEvent(delta_of(value));
}

Error read_control_error(int status, std::string_view body) {
  auto value = parse_json(body, "the daemon's answer", kAnswerLimits);
  if (value && field(&*value, "error") != nullptr) return error_of(*value);
  return {ErrorCode::unavailable, fmt::format("the server answered {}", status), "is it a skep daemon?"};
}

Result<ControlResources> read_control_resources(std::string_view body) {
  SKEP_TRY(json::value value, parse_json(body, "the daemon's answer", kAnswerLimits));
  ControlResources answer;
  ResourceUsage& usage = answer.usage;
  const json::value* memory = field(&value, "memory");
  usage.budget = bytes_of(field(memory, "budget_bytes"));
  usage.reserved = bytes_of(field(memory, "reserved_bytes"));
  usage.measured = bytes_of(field(memory, "measured_bytes"));
  usage.memory_total = bytes_of(field(memory, "total_bytes"));
  usage.memory_available = bytes_of(field(memory, "available_bytes"));
  usage.cpu_percent = real_of(field(field(&value, "cpu"), "percent"));
  usage.cores = count_of(field(field(&value, "cpu"), "cores"));
  usage.queue_length = count_of(field(field(&value, "queue"), "length"));
  usage.queue_limit = count_of(field(field(&value, "queue"), "limit"));
  const json::value* engines = field(&value, "engines");
  usage.engines_resident = count_of(field(engines, "resident"));
  usage.engines_limit = count_of(field(engines, "resident_limit"));
  usage.engines_generating = count_of(field(engines, "generating"));
  usage.engines_generating_limit = count_of(field(engines, "generating_limit"));
  for (const json::value& each : list_of(field(engines, "models"))) {
    RunningModel running;
    running.info.name = text_of(field(&each, "model"));
    running.state = text_of(field(&each, "state"));
    running.host_bytes = bytes_of(field(&each, "host_bytes"));
    running.gpu_bytes = bytes_of(field(&each, "gpu_bytes"));
    running.context_tokens = count_of(field(&each, "context_tokens"));
    const json::value* streamed = field(&each, "streamed");
    running.streamed = {.all = bytes_of(field(streamed, "weight_bytes")),
                        .resident = bytes_of(field(streamed, "resident_bytes")),
                        .disk_bytes_per_second = real_of(field(streamed, "disk_bytes_per_second")),
                        .tokens_per_second = real_of(field(streamed, "tokens_per_second"))};
    running.generating = count_of(field(&each, "generating"));
    running.waiting = count_of(field(&each, "waiting"));
    running.slots = count_of(field(&each, "slots"));
    running.loads = number_of(field(&each, "loads"));
    answer.running.push_back(std::move(running));
  }
  return answer;
}

Result<PerformanceReport> read_control_performance(std::string_view body) {
  SKEP_TRY(json::value value, parse_json(body, "the daemon's answer", kAnswerLimits));
  PerformanceReport report;
  report.tokens_per_second = real_of(field(&value, "tokens_per_second"));
  for (auto [name, rows] : {std::pair("tiers", &report.tiers), std::pair("models", &report.models)}) {
    for (const json::value& each : list_of(field(&value, name))) {
      PerformanceReport::Row& row = rows->emplace_back();
      row.name = text_of(field(&each, "name"));
      row.tasks = number_of(field(&each, "tasks"));
      row.failed = number_of(field(&each, "failed"));
      row.prompt_tokens = number_of(field(&each, "prompt_tokens"));
      row.cached_tokens = number_of(field(&each, "cached_tokens"));
      row.completion_tokens = number_of(field(&each, "completion_tokens"));
      row.loads = number_of(field(&each, "loads"));
    }
  }
  return report;
}

}  // namespace skep::api::wire
