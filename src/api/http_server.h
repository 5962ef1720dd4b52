#pragma once
// HTTP/1.1 on the event loop: connections, limits, time-outs, drain. Knows nothing of models; an HttpHandler answers.
// Beast and Asio stay in the .cc files.
//
// Bounds: connections, header bytes, body bytes, bytes queued for a slow reader, and a time for each phase. Time-outs
// are swept, so they come up to `sweep` late. At the connection limit a new client gets a 503 with Retry-After and is
// closed.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/http_message.h"
#include "base/asio_event_loop.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::api {

struct HttpLimits {
  int connections = 4096;
  Bytes header = 32_KiB;   // request line and headers: 431 beyond
  Bytes body = 8_MiB;      // 413 beyond
  Bytes bodies = 256_MiB;  // of all requests together: 503 beyond
  Bytes unsent = 1_MiB;    // of a streamed answer, waiting for a slow reader: beyond, the client counts as gone
  Duration idle = std::chrono::minutes(2);          // between requests on a kept connection
  Duration read_header = std::chrono::seconds(10);  // from the first byte of a request: 408 beyond
  Duration read_body = std::chrono::seconds(60);    // 408 beyond
  Duration write_stall = std::chrono::seconds(30);  // a write without any progress
  Duration drain = std::chrono::seconds(30);        // after that, open answers are cut off
  Duration sweep = std::chrono::seconds(1);         // how often time-outs are looked for
};

// Answers requests. Called on the loop.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // The header is read, the body is not. Anything but an empty optional is sent at once and the body never read.
  virtual std::optional<HttpResponse> check(HttpRequest& head) = 0;
  // The whole request is there. Answers through the exchange, now or later, exactly once.
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;
  // An answer for what went wrong below: malformed HTTP, a limit, a time-out.
  virtual HttpResponse protocol_error(int status, const std::string& message) = 0;
  // For logs and metrics. `request` is null where there was none, as after malformed HTTP. Status 499: the client left
  // before its answer began.
  virtual void answered(const HttpRequest* /*request*/, int /*status*/, Bytes /*sent*/, Duration /*took*/) {}
};

class HttpServer {
 public:
  HttpServer(AsioEventLoop& loop, HttpHandler& handler, HttpLimits limits);
  ~HttpServer();  // closes everything at once

  // Listens on an IP literal or "localhost"; port 0 takes a free one. Returns the port. io: it is in use, or not ours.
  // Raises the process's limit of open files where limits.connections need it, or takes fewer where it may not.
  Result<uint16_t> listen(const std::string& address, uint16_t port);

  // Stops listening, closes idle connections, lets open answers end (at most limits.drain), then calls `done`.
  void drain(std::function<void()> done);

  [[nodiscard]] int connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with coroutines that are on their way out
};

}  // namespace skep::api
