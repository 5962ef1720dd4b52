#pragma once
// Errors on their way to a client: the HTTP status and headers, and the body that each kind of client expects.

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "api/http_message.h"
#include "base/clock.h"
#include "base/result.h"

namespace skep::api {

struct ApiError {
  Error error;
  std::string param;  // the request's field at fault, "messages[0].role"; may be empty
  std::optional<Duration> retry_after = std::nullopt;
};

// What a parser of requests returns.
template <typename T>
using Parsed = tl::expected<T, ApiError>;

enum class ErrorStyle {
  openai,     // {"error":{"message","type","code","param"}}
  ollama,     // {"error":"…"}
  anthropic,  // {"type":"error","error":{"type","message"}}
  control,    // {"error":"…","code":"not_found"}: ours; Ollama's clients can read it too
};

int http_status(ErrorCode code);

// OpenAI's `type`, "invalid_request_error", and `code`, "model_not_found".
std::string error_type(ErrorCode code);
std::string error_body(const ApiError& error, ErrorStyle style);

// With Retry-After on 429 and 503, and without an invitation to retry (x-should-retry, which the OpenAI clients heed)
// where trying again can't help.
HttpResponse error_response(const ApiError& error, ErrorStyle style);

}  // namespace skep::api
