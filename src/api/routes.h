#pragma once
// The routes of each API, added to the router by ApiServer.

#include "api/api_context.h"
#include "api/router.h"

namespace skep::api {

void add_openai_routes(Router& router, ApiContext& context);
void add_ollama_routes(Router& router, ApiContext& context);
void add_anthropic_routes(Router& router, ApiContext& context);
void add_control_routes(Router& router, ApiContext& context);

inline HttpResponse json_response(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

}  // namespace skep::api
