#pragma once
// A blocking HTTP client for commands that talk to a running daemon. One connection, kept alive between calls.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace skep::cli {

struct HttpAnswer {
  int status = 0;
  std::string body;
};

class HttpClient {
 public:
  // `url`: http://host:port, as --url or SKEP_URL gives it. `key`: sent as a bearer token unless empty.
  static Result<HttpClient> make(std::string_view url, std::string key);
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // Fails with unavailable when nobody answers within `timeout`. An answer with an error status is an answer.
  Result<HttpAnswer> call(std::string_view method, std::string_view target, std::string body = {},
                          Duration timeout = std::chrono::seconds(30));
  // The same, but the body of a 200 comes line by line (SSE, NDJSON) as it arrives; `line` returns false to stop. Other
  // statuses come whole in the answer.
  Result<HttpAnswer> stream(std::string_view method, std::string_view target, std::string body,
                            const std::function<bool(std::string_view)>& line);

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The message of an error body in OpenAI's or Ollama's form, as an Error with a code that fits the status.
Error error_of(const HttpAnswer& answer);

// --url, else SKEP_URL, else http://127.0.0.1:8051.
std::string daemon_url(const std::string& option);

}  // namespace skep::cli
