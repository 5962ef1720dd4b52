#include "api/api_server.h"

#include <cassert>
#include <random>

#include "api/api_context.h"
#include "api/router.h"
#include "api/routes.h"
#include "api/routes_memory.h"

namespace skep::api {

namespace {

ErrorCode code_of_protocol_status(int status) {
  switch (status) {
    case 413:
    case 431:
      return ErrorCode::too_large;
    case 408:
      return ErrorCode::deadline_exceeded;
    case 503:
      return ErrorCode::overloaded;
    default:
      return ErrorCode::invalid_argument;
  }
}

std::string random_instance() {
  std::random_device random;
  return fmt::format("{:08x}", random());
}

}  // namespace

struct ApiServer::Impl final : HttpHandler {
  Impl(AsioEventLoop& loop, Backend& backend, ServerOptions given)
      : options(std::move(given)),
        auth(options.auth),
        context{loop, backend, options.ping, options.version, random_instance()},
        http(loop, *this, options.limits) {
    context.jobs = options.jobs;
    context.known = KnownResponses(options.known);
    add_openai_routes(router, context);
    add_ollama_routes(router, context);
    add_anthropic_routes(router, context);
    add_control_routes(router, context);
    add_state_routes(router, context);
    add_memory_routes(router, options.memory);
    add_compress_routes(router, context);
    add_model_job_routes(router, context);
    assert(options.ping > Duration::zero());
  }

  ServerOptions options;
  Auth auth;
  ApiContext context;
  Router router;
  HttpServer http;

  std::optional<HttpResponse> check(HttpRequest& head) override {
    Router::Match match = router.find(head.method, head.path);
    head.route = match.route;
    head.captures = std::move(match.captures);
    std::string_view origin = head.header("Origin");
    if (!origin.empty() && auth.origin_allowed(origin)) {
      head.answer_headers.emplace_back("Access-Control-Allow-Origin", origin);
      head.answer_headers.emplace_back("Vary", "Origin");
      head.answer_headers.emplace_back("Access-Control-Expose-Headers",
                                       "X-Skep-Model, X-Skep-Tier, X-Skep-Task, X-Skep-Cache, Retry-After");
      if (head.method == "OPTIONS") return preflight(match);
    }
    auto refuse = [&](const Error& error, std::optional<Duration> retry_after = std::nullopt) {
      return std::optional(error_response({error, "", retry_after}, match.style));
    };
    if (match.route != nullptr && !match.route->role) return std::nullopt;
    auto caller = auth.identify(
        {head.header("Authorization"), head.header("X-Api-Key"), head.header("Host"), head.header("Origin")});
    if (!caller) return refuse(caller.error());
    head.caller = *caller;
    if (match.route == nullptr) return unknown(head, match);
    if (head.caller.role < *match.route->role) {
      return refuse({ErrorCode::permission_denied,
                     fmt::format("the API key '{}' has the role {}, this needs {}", head.caller.name,
                                 to_string(head.caller.role), to_string(*match.route->role)),
                     ""});
    }
    if (auto wait = auth.spend_request(head.caller, context.loop.now())) {
      return refuse({ErrorCode::quota_exhausted, "the API key's requests of this minute are spent", ""}, wait);
    }
    return std::nullopt;
  }

  static HttpResponse preflight(const Router::Match& match) {
    std::string methods = match.allowed.empty() ? "GET, POST, DELETE" : allow(match);
    HttpResponse response;
    response.status = 204;
    response.headers = {{"Access-Control-Allow-Methods", methods},
                        {"Access-Control-Allow-Headers", "*, Authorization, Content-Type, X-Api-Key"},
                        {"Access-Control-Max-Age", "600"}};
    return response;
  }

  static std::string allow(const Router::Match& match) {
    std::string methods;
    for (const auto& method : match.allowed) methods += (methods.empty() ? "" : ", ") + method;
    return methods;
  }

  static HttpResponse unknown(const HttpRequest& head, const Router::Match& match) {
    if (match.allowed.empty()) {
      return error_response({{ErrorCode::not_found, fmt::format("there is nothing at {}", head.path), ""}, ""},
                            match.style);
    }
    HttpResponse response = error_response(
        {{ErrorCode::invalid_argument, fmt::format("{} answers {} only", head.path, allow(match)), ""}, ""},
        match.style);
    response.status = 405;
    response.headers.emplace_back("Allow", allow(match));
    return response;
  }

  void handle(std::shared_ptr<Exchange> exchange) override {
    const Route* route = exchange->request().route;
    assert(route != nullptr);
    route->handle(std::move(exchange));
  }

  HttpResponse protocol_error(int status, const std::string& message) override {
    HttpResponse response = error_response({{code_of_protocol_status(status), message, ""}, ""}, ErrorStyle::control);
    response.status = status;
    return response;
  }

  void answered(const HttpRequest* request, int status, Bytes sent, Duration took) override {
    if (options.metrics != nullptr) {
      std::string route = request != nullptr && request->route != nullptr ? request->route->pattern : "none";
      options.metrics
          ->counter("skep_http_requests_total", "HTTP requests answered, by route and status.",
                    {{"route", route}, {"status", std::to_string(status)}})
          .add();
      options.metrics
          ->histogram("skep_http_request_seconds", "From a request's first byte to its answer's last.",
                      {{"route", route}})
          .observe(seconds(took));
      options.metrics->gauge("skep_http_connections", "Open HTTP connections.").set(http.connections());
    }
    if (!options.access_log) return;
    AccessRecord record;
    if (request != nullptr) {
      record.method = request->method;
      record.path = request->path;
      record.caller = request->caller.name;
    }
    record.status = status;
    record.sent = sent;
    record.took = took;
    options.access_log(record);
  }
};

ApiServer::ApiServer(AsioEventLoop& loop, Backend& backend, ServerOptions options)
    : impl_(std::make_unique<Impl>(loop, backend, std::move(options))) {}

ApiServer::~ApiServer() = default;

Result<uint16_t> ApiServer::start() {
  SKEP_CHECK(check_binding(impl_->options.address, impl_->options.auth));
  return impl_->http.listen(impl_->options.address, impl_->options.port);
}

void ApiServer::drain(std::function<void()> done) { impl_->http.drain(std::move(done)); }

int ApiServer::connections() const { return impl_->http.connections(); }

}  // namespace skep::api
