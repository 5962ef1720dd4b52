#pragma once
// The daemon's HTTP face: OpenAI, Ollama and control routes over one Backend. doc/api.md lists the routes.
//
//   ApiServer server(loop, backend, options);
//   auto port = server.start();   // io: the port is taken; invalid_argument: not loopback and no key
//   …
//   server.drain([&] { loop.stop(); });
//
// Lives on the loop's thread; the backend must outlive it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/known_answers.h"
#include "api/auth.h"
#include "api/backend.h"
#include "api/http_server.h"
#include "api/model_jobs.h"
#include "base/asio_event_loop.h"
#include "telemetry/metrics.h"

namespace skep::memory {
class MemoryService;
}

namespace skep::api {

// One answered request, for an access log: no query, no headers, no bodies.
struct AccessRecord {
  std::string method, path, caller;  // empty for what was no HTTP
  int status = 0;                    // 499: the client left before its answer began
  Bytes sent;
  Duration took{};
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // an IP literal or "localhost"
  uint16_t port = 8051;               // 0: a free one
  AuthOptions auth;
  HttpLimits limits;
  Duration ping = std::chrono::seconds(15);             // a sign of life in a stream that has nothing to say
  std::string version = "0.1.0";                        // /api/version
  memory::MemoryService* memory = nullptr;              // what agents remember; outlives the server; may be none
  ModelJobs* jobs = nullptr;                            // model tools as jobs; may be none
  agent::KnownAnswers* known = nullptr;                 // for requests that came before; may be none
  telemetry::Metrics* metrics = nullptr;                // where the server counts its requests; may be none
  std::function<void(const AccessRecord&)> access_log;  // may be empty
};

class ApiServer {
 public:
  ApiServer(AsioEventLoop& loop, Backend& backend, ServerOptions options);
  ~ApiServer();  // cancels what is open
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  Result<uint16_t> start();  // the port that it listens on

  // Takes no new connections, finishes open answers (at most limits.drain), then calls `done` on the loop.
  void drain(std::function<void()> done);

  [[nodiscard]] int connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::api
