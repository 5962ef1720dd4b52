#pragma once
// The routes of each API, added to the router by ApiServer.

#include "api/api_context.h"
#include "api/router.h"

namespace skep::api {

void add_openai_routes(Router& router, ApiContext& context);
void add_ollama_routes(Router& router, ApiContext& context);
void add_anthropic_routes(Router& router, ApiContext& context);
void add_control_routes(Router& router, ApiContext& context);
void add_state_routes(Router& router, ApiContext& context);
void add_compress_routes(Router& router, ApiContext& context);
void add_model_job_routes(Router& router, ApiContext& context);

// add("GET", "/v1/models", Role::read, handler) for one API: its errors have one style, its handlers share the context.
inline auto route_adder(Router& router, ApiContext& context, ErrorStyle style) {
  return [&router, &context, style](const char* method, const char* pattern, std::optional<Role> role, auto handler) {
    router.add({method, pattern, role, style,
                [&context, handler](std::shared_ptr<Exchange> exchange) { handler(context, std::move(exchange)); }});
  };
}

inline HttpResponse json_response(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

}  // namespace skep::api
