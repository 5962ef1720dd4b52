#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "api/routes.h"
#include "api/task_answer.h"
#include "api/wire/control_task_format.h"
#include "api/wire/control_task_request.h"
#include "api/wire/control_views.h"
#include "api/wire/json_text.h"
#include "telemetry/metrics.h"

namespace skep::api {

namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

void refuse(Exchange& exchange, const ApiError& error) { exchange.respond(error_response(error, ErrorStyle::control)); }

void not_found(Exchange& exchange, std::string message) {
  refuse(exchange, {{ErrorCode::not_found, std::move(message), ""}, ""});
}

void agent_by_name(ApiContext& context, const ExchangePtr& exchange) {
  std::string_view name = exchange->request().capture("name");
  auto agents = context.backend.agents();
  auto found = std::find_if(agents.begin(), agents.end(), [&](const AgentView& agent) { return agent.name == name; });
  if (found == agents.end()) return not_found(*exchange, fmt::format("there is no agent '{}'", name));
  exchange->respond(json_response(wire::control_agent(*found)));
}

std::optional<TaskView> find_task(ApiContext& context, std::string_view text) {
  agent::TaskId id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  for (auto& task : context.backend.tasks()) {
    if (task.id == id) return std::move(task);
  }
  return std::nullopt;
}

void task_by_id(ApiContext& context, const ExchangePtr& exchange) {
  std::string_view id = exchange->request().capture("id");
  auto task = find_task(context, id);
  if (!task) return not_found(*exchange, fmt::format("there is no open task {}", id));
  exchange->respond(json_response(wire::control_task(*task)));
}

void cancel_task(ApiContext& context, const ExchangePtr& exchange) {
  const Caller& caller = exchange->request().caller;
  std::string_view id = exchange->request().capture("id");
  auto task = find_task(context, id);
  // A foreign task looks the same as none.
  if (!task || (caller.role != Role::admin && task->caller != caller.name)) {
    return not_found(*exchange, fmt::format("there is no open task {}", id));
  }
  if (auto answer = context.open_tasks.find(task->id)) {
    answer->cancel_by(caller.name);
  } else {
    context.backend.cancel(task->id);
  }
  HttpResponse done;
  done.status = 204;
  exchange->respond(std::move(done));
}

void submit_task(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_control_task(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  TaskAnswer::start(context, std::move(exchange), std::move(*asked), std::make_unique<wire::ControlTaskFormat>());
}

void route(ApiContext& context, const ExchangePtr& exchange) {
  auto asked = wire::parse_control_task(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  auto decision = context.backend.route(asked->tasks.front());
  if (!decision) return refuse(*exchange, {decision.error(), ""});
  exchange->respond(json_response(wire::control_route(*decision)));
}

// What can't be written is no reason to send nobody here: what stands is served.
void health(ApiContext& context, const ExchangePtr& exchange, bool must_be_ready) {
  bool ready = context.backend.ready();
  boost::json::object status{{"status", ready ? "ready" : "draining"}};
  if (StateBackend* state = context.backend.state()) {
    boost::json::array problems;
    for (const std::string& problem : state->problems()) problems.emplace_back(problem);
    if (!problems.empty()) status["problems"] = std::move(problems);
  }
  HttpResponse response = json_response(wire::to_text(status));
  if (must_be_ready && !ready) {
    response.status = 503;
    response.headers.emplace_back("Retry-After", "1");
  }
  exchange->respond(std::move(response));
}

void metrics(ApiContext& context, const ExchangePtr& exchange) {
  HttpResponse response;
  response.content_type = std::string(telemetry::Metrics::content_type);
  response.body = context.backend.metrics();
  exchange->respond(std::move(response));
}

}  // namespace

void add_control_routes(Router& router, ApiContext& context) {
  const auto add = route_adder(router, context, ErrorStyle::control);
  add("GET", "/api/agents", Role::read, [](ApiContext& c, const ExchangePtr& exchange) {
    exchange->respond(json_response(wire::control_agents(c.backend.agents())));
  });
  add("GET", "/api/agents/{name}", Role::read, agent_by_name);
  add("GET", "/api/tasks", Role::read, [](ApiContext& c, const ExchangePtr& exchange) {
    exchange->respond(json_response(wire::control_tasks(c.backend.tasks())));
  });
  add("POST", "/api/tasks", Role::user, submit_task);
  add("GET", "/api/tasks/{id}", Role::read, task_by_id);
  add("DELETE", "/api/tasks/{id}", Role::user, cancel_task);
  add("POST", "/api/route", Role::read, route);
  add("GET", "/api/resources/usage", Role::read, [](ApiContext& c, const ExchangePtr& exchange) {
    exchange->respond(json_response(wire::control_resources(c.backend.resources(), c.backend.running())));
  });
  add("GET", "/api/performance/metrics", Role::read, [](ApiContext& c, const ExchangePtr& exchange) {
    exchange->respond(json_response(wire::control_performance(c.backend.performance())));
  });
  add("GET", "/metrics", Role::read, metrics);
  // A process supervisor asks these, without a key.
  add("GET", "/healthz", std::nullopt, [](ApiContext& c, const ExchangePtr& exchange) { health(c, exchange, false); });
  add("GET", "/readyz", std::nullopt, [](ApiContext& c, const ExchangePtr& exchange) { health(c, exchange, true); });
}

}  // namespace skep::api
