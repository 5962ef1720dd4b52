#include <charconv>

#include "api/routes.h"
#include "api/wire/model_job.h"

namespace skep::api {
namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

void refuse(Exchange& exchange, const ApiError& error) { exchange.respond(error_response(error, ErrorStyle::control)); }

void no_such_job(Exchange& exchange) {
  refuse(exchange,
         {{ErrorCode::not_found, fmt::format("there is no job {}", exchange.request().capture("id")), ""}, ""});
}

std::optional<ModelJobId> id_of(const Exchange& exchange) {
  const std::string_view text = exchange.request().capture("id");
  ModelJobId id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

void start(ModelJobs& jobs, Exchange& exchange) {
  auto asked = wire::parse_model_job(exchange.request());
  if (!asked) return refuse(exchange, asked.error());
  const auto id = jobs.start(std::move(*asked));
  if (!id) return refuse(exchange, {id.error(), ""});
  HttpResponse response = json_response(wire::model_job(*jobs.find(*id)));
  response.status = 202;
  response.headers.emplace_back("Location", fmt::format("/api/optimize/models/{}", *id));
  exchange.respond(std::move(response));
}

void show(ModelJobs& jobs, Exchange& exchange) {
  const auto id = id_of(exchange);
  const auto job = id ? jobs.find(*id) : std::nullopt;
  if (!job) return no_such_job(exchange);
  exchange.respond(json_response(wire::model_job(*job)));
}

void cancel(ModelJobs& jobs, Exchange& exchange) {
  const auto id = id_of(exchange);
  if (!id || !jobs.cancel(*id)) return no_such_job(exchange);
  exchange.respond(json_response(wire::model_job(*jobs.find(*id))));
}

}  // namespace

void add_model_job_routes(Router& router, ApiContext& context) {
  const auto add = [&](const char* method, const char* pattern, Role role, auto handler) {
    router.add({method, pattern, role, ErrorStyle::control, [&context, handler](const ExchangePtr& exchange) {
                  ModelJobs* jobs = context.jobs;
                  if (jobs == nullptr) {
                    return refuse(*exchange, {{ErrorCode::unsupported, "this daemon runs no model tools", ""}, ""});
                  }
                  handler(*jobs, *exchange);
                }});
  };
  // They read and write files and take the machine's time: for admins.
  add("POST", "/api/optimize/models", Role::admin, start);
  add("GET", "/api/optimize/models", Role::read,
      [](ModelJobs& jobs, Exchange& exchange) { exchange.respond(json_response(wire::model_jobs(jobs.list()))); });
  add("GET", "/api/optimize/models/{id}", Role::read, show);
  add("DELETE", "/api/optimize/models/{id}", Role::admin, cancel);
}

}  // namespace skep::api
