#pragma once
// The head of an HTTP/1 response as bytes.

#include <string>

#include "api/http_message.h"
#include "base/clock.h"

namespace skep::api {

enum class BodyFraming {
  length,     // Content-Length: the size of the response's body
  chunked,    // Transfer-Encoding: chunked
  until_end,  // the connection's end is the body's: HTTP/1.0 clients
};

// Control characters in header values are dropped, so that no value can start a header of its own.
std::string response_head(const HttpResponse& response, BodyFraming framing, bool keep_alive, WallTime now);

// One chunk of a chunked body; `bytes` must not be empty, since an empty chunk ends the body.
std::string chunk(std::string_view bytes);
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace skep::api
