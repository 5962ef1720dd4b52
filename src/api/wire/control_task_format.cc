#include "api/wire/control_task_format.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "api/wire/openai_chat_format.h"
#include "api/wire/openai_usage.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

double milliseconds(Duration duration) { return seconds(duration) * 1e3; }

json::object route_value(const agent::RouteDecision& route) {
  return {{"model", route.model}, {"tier", route.tier}, {"reason", route.reason}, {"complexity", route.complexity}};
}

json::object result_value(const agent::TaskResult& result) {
  return {{"id", result.id},
          {"agent", result.agent},
          {"route", route_value(result.route)},
          {"message", openai_message(result.message)},
          {"finish_reason", result.finish_reason},
          {"usage", openai_usage(result.usage)},
          {"seed", result.seed},
          {"attempts", result.attempts},
          {"queued_ms", milliseconds(result.queued)},
          {"load_ms", milliseconds(result.load)},
          {"prefill_ms", milliseconds(result.prefill)},
          {"decode_ms", milliseconds(result.decode)},
          {"total_ms", milliseconds(result.total)}};
}

}  // namespace

std::string ControlTaskFormat::whole(const std::vector<Answer>& answers) {
  return to_text(result_value(answers.front().result));
}

std::string ControlTaskFormat::started(int /*choice*/, const agent::TaskStarted& started) {
  return sse_event("started", to_text(json::object{{"id", started.id}, {"route", route_value(started.route)}}));
}

std::string ControlTaskFormat::delta(int /*choice*/, const language::Delta& delta) {
  json::object value;
  if (!delta.content.empty()) value["content"] = delta.content;
  if (!delta.reasoning.empty()) value["reasoning_content"] = delta.reasoning;
  if (!delta.tool_calls.empty()) {
    json::array calls;
    for (const auto& call : delta.tool_calls) {
      calls.emplace_back(
          json::object{{"index", call.index}, {"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
    }
    value["tool_calls"] = std::move(calls);
  }
  if (value.empty()) return {};
  return sse_event("delta", to_text(value));
}

std::string ControlTaskFormat::finished(int /*choice*/, const agent::TaskResult& result) {
  return sse_event("finished", to_text(result_value(result)));
}

std::string ControlTaskFormat::broken(const ApiError& error) {
  return sse_event("failed", error_body(error, ErrorStyle::control));
}

}  // namespace skep::api::wire
