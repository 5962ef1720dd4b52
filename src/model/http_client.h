#pragma once
// HTTP/1.1 to one server over a pool of kept-alive connections, plain or TLS. Answers are handed on as they arrive.
// Every wait has a time-out, every queue a bound. On the event loop; callbacks never come from inside the call.
// Requests are not retried here, but for one case: a kept-alive connection that turns out to have been closed by the
// server before it answered anything is replaced by a new one.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/asio_event_loop.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "model/http_url.h"

namespace skep::model {

struct HttpClientOptions {
  std::vector<std::pair<std::string, std::string>> headers;  // with every request; not logged, may hold a key
  std::string ca_file;                                       // PEM, besides the system's; for servers of one's own
  Duration connect = std::chrono::seconds(5);                // name, TCP, TLS: each
  Duration first_byte = std::chrono::minutes(10);  // from the request to the head: a long prompt is read first
  Duration between_bytes = std::chrono::seconds(60);
  Duration idle = std::chrono::seconds(20);  // a connection unused for longer is not used again
  size_t most_connections = 16;
  size_t most_waiting = 1024;  // for a connection; then overloaded
};

struct HttpHead {
  int status = 0;
  std::optional<Duration> retry_after;  // only the form in seconds
};

class HttpClient {
 public:
  using Id = uint64_t;
  struct Request {
    std::string method = "GET";
    std::string target;  // below the base path
    std::string body;    // JSON; empty: none
  };
  struct Listener {
    std::function<void(const HttpHead&)> head;
    std::function<void(std::string_view)> data;
    std::function<void(const Status&)> end;  // once, last: the whole answer came, or unavailable and why
  };
  struct Answer {
    HttpHead head;
    std::string body;
  };

  // Fails for a CA file that can't be read.
  static Result<std::unique_ptr<HttpClient>> create(AsioEventLoop& loop, HttpUrl url, HttpClientOptions options);
  ~HttpClient();  // cancels everything

  Id send(Request request, Listener listener);
  // The whole answer, at most `limit` of it (then too_large).
  Id fetch(Request request, Bytes limit, std::function<void(Result<Answer>)> done);
  // Closes the connection if the request is on one. Nothing more is heard.
  void cancel(Id id);
  // Nothing more is heard either, but the little that is left of the answer is read, so that the connection stays.
  void drain(Id id);

  [[nodiscard]] size_t connections() const;  // open, idle ones included

 private:
  struct Impl;
  explicit HttpClient(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace skep::model
