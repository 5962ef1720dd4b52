#include "api/api_error.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "api/wire/json_text.h"

namespace skep::api {

namespace json = boost::json;

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::unsupported:
    case ErrorCode::context_overflow:
      return 400;
    case ErrorCode::unauthenticated:
      return 401;
    case ErrorCode::permission_denied:
      return 403;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::conflict:
      return 409;
    case ErrorCode::too_large:
      return 413;
    case ErrorCode::quota_exhausted:
      return 429;
    case ErrorCode::cancelled:
      return 499;
    case ErrorCode::overloaded:
    case ErrorCode::unavailable:
      return 503;
    case ErrorCode::deadline_exceeded:
      return 504;
    case ErrorCode::out_of_memory:
      return 507;
    case ErrorCode::corrupt:
    case ErrorCode::io:
    case ErrorCode::internal:
      return 500;
  }
  return 500;
}

std::string error_type(ErrorCode code) {
  switch (http_status(code)) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return http_status(code) < 500 ? "invalid_request_error" : "server_error";
  }
}

namespace {

std::string openai_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::unauthenticated:
      return "invalid_api_key";
    case ErrorCode::quota_exhausted:
      return "rate_limit_exceeded";
    case ErrorCode::context_overflow:
      return "context_length_exceeded";  // agents' clients compact the conversation when they read this
    default:
      return to_string(code);
  }
}

// Anthropic's names are a closed list.
std::string anthropic_type(ErrorCode code) {
  switch (http_status(code)) {
    case 401:
    case 403:
    case 404:
    case 429:
    case 503:
      return error_type(code);
    case 413:
      return "request_too_large";
    default:
      return http_status(code) < 500 ? "invalid_request_error" : "api_error";
  }
}

bool retrying_is_useless(ErrorCode code) {
  return code == ErrorCode::out_of_memory || code == ErrorCode::deadline_exceeded || code == ErrorCode::corrupt ||
         code == ErrorCode::conflict || code == ErrorCode::cancelled;
}

}  // namespace

std::string error_body(const ApiError& error, ErrorStyle style) {
  ErrorCode code = error.error.code;
  switch (style) {
    case ErrorStyle::openai: {
      json::value param = nullptr;
      if (!error.param.empty()) param = error.param;
      return wire::to_text(json::value{{"error",
                                        {{"message", error.error.text()},
                                         {"type", error_type(code)},
                                         {"code", openai_code(code)},
                                         {"param", param}}}});
    }
    case ErrorStyle::ollama:
      return wire::to_text(json::value{{"error", error.error.text()}});
    case ErrorStyle::anthropic:
      return wire::to_text(
          json::value{{"type", "error"}, {"error", {{"type", anthropic_type(code)}, {"message", error.error.text()}}}});
    case ErrorStyle::control:
      return wire::to_text(json::value{{"error", error.error.text()}, {"code", to_string(code)}});
  }
  return {};
}

HttpResponse error_response(const ApiError& error, ErrorStyle style) {
  HttpResponse response;
  response.status = http_status(error.error.code);
  response.body = error_body(error, style);
  if (response.status == 429 || response.status == 503) {
    double wait = error.retry_after ? seconds(*error.retry_after) : 1;
    response.headers.emplace_back("Retry-After", std::to_string(static_cast<int64_t>(std::ceil(std::max(1.0, wait)))));
  }
  if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (retrying_is_useless(error.error.code)) response.headers.emplace_back("x-should-retry", "false");
  return response;
}

}  // namespace skep::api
