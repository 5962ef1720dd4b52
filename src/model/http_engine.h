#pragma once
// Servers elsewhere as engines (M9): anything that speaks the OpenAI or the Ollama API. A factory stands for one
// server; the engines it starts are models there, named by LoadOptions::path. They take none of this machine's memory.
//
// Failures: a request is tried again, with back-off, as long as nothing of its answer was passed on; then unavailable,
// and the dispatcher may try elsewhere. An engine whose server fails its health check several times in a row dies, and
// the residency's back-off decides when it is tried again.

#include <memory>
#include <optional>
#include <string>

#include "base/asio_event_loop.h"
#include "base/clock.h"
#include "model/engine.h"
#include "model/http_client.h"
#include "model/http_dialect.h"

namespace skep::model {

struct HttpEngineOptions {
  std::string url;
  std::optional<HttpDialect> dialect;  // unset: found out when the engine starts
  std::string api_key_env;             // the variable that holds the key; empty: none is sent
  int slots = 0;                       // generations at once; 0: what the server says, else 4. More wait here …
  size_t most_waiting = 4096;          // … at most so many, then overloaded

  // For a server that does not batch: requests of `window` time, or `window_size` of them, are collected and sent
  // ordered by what they share, so that its prompt cache is hit. 0: sent as they come.
  Duration window{};
  size_t window_size = 5;

  int retries = 2;                                          // beyond the first try
  Duration first_backoff = std::chrono::milliseconds(250);  // doubles
  Duration longest_backoff = std::chrono::seconds(10);      // a longer Retry-After is not waited for

  Duration health_interval = std::chrono::seconds(10);
  Duration health_timeout = std::chrono::seconds(5);
  int health_failures = 3;  // in a row, then the engine dies

  HttpClientOptions client;
};

class HttpFactory final : public EngineFactory {
 public:
  // invalid_argument for an address that is none, or a key variable that is not set.
  static Result<std::unique_ptr<HttpFactory>> create(AsioEventLoop& loop, HttpEngineOptions options);
  ~HttpFactory() override;

  void measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) override;
  // Asks the server whether it is there; not for the model, which many servers load only when asked something.
  void start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) override;
  [[nodiscard]] bool remote() const override { return true; }

 private:
  struct Impl;
  explicit HttpFactory(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace skep::model
