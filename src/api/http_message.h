#pragma once
// A request, a response, and an exchange: one request with the means to answer it. Free of Beast.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/auth.h"

namespace skep::api {

struct Route;

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // GET, HEAD, POST …
  std::string path;    // percent-decoded, without query
  std::string query;   // as sent, without '?'
  Headers headers;     // as sent; look up with header()
  std::string body;

  // Set by the handler's check(), for its own use.
  Caller caller;
  const Route* route = nullptr;
  std::vector<std::pair<std::string, std::string>> captures;  // of the route: name, value
  Headers answer_headers;                                     // the server adds them to whatever is answered

  [[nodiscard]] std::string_view header(std::string_view name) const;   // case-insensitive; empty if absent
  [[nodiscard]] std::string_view capture(std::string_view name) const;  // empty if absent
  [[nodiscard]] std::string query_value(std::string_view name) const;   // decoded; empty if absent
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  Headers headers;  // besides Content-Type, Content-Length, Date, Connection, which are the server's
};

// Percent-decoding ("+" stays). unset: a broken escape, or a NUL.
std::optional<std::string> percent_decode(std::string_view text);

const char* reason_phrase(int status);

// One request and its answer: either respond(), or begin(), write()…, end(). All on the loop. Once gone(), everything
// is ignored.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual const HttpRequest& request() const = 0;

  virtual void respond(HttpResponse response) = 0;

  virtual void begin(HttpResponse head) = 0;       // its body, if any, is the first part
  virtual void write(std::string_view bytes) = 0;  // never blocks; beyond limits.unsent the client counts as gone
  virtual void end() = 0;

  [[nodiscard]] virtual bool begun() const = 0;  // respond() or begin() was called
  [[nodiscard]] virtual bool gone() const = 0;   // the client left, or is too slow
  // Called at most once, when the client goes before the answer is complete. Replaces an earlier one.
  virtual void on_gone(std::function<void()> heard) = 0;
};

}  // namespace skep::api
