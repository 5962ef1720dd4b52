#pragma once
// The composition root: builds every part from a Config, wires them, and is the API's backend. Everything lives on the
// event loop that it is given.

#include <functional>
#include <memory>
#include <string>

#include "api/backend.h"
#include "base/asio_event_loop.h"
#include "daemon/config.h"

namespace skep::daemon {

struct DaemonOptions {
  Config config;
  std::string engine_program;  // started as `<program> engine --fd N`; empty: this executable
  bool serve = true;           // listen on config.listen; off for `skep run`
  bool log_requests = false;
};

class Daemon {
 public:
  // Reads the roster, scans the models, reserves the daemon's own bytes, listens. Errors name the key or file.
  static Result<std::unique_ptr<Daemon>> make(AsioEventLoop& loop, DaemonOptions options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  [[nodiscard]] api::Backend& backend();
  [[nodiscard]] uint16_t port() const;  // 0 when it does not listen
  [[nodiscard]] Bytes budget() const;

  // Takes no new work, finishes what runs, ends the engines, then `done` on the loop.
  void shut_down(std::function<void()> done);

 private:
  struct Impl;
  explicit Daemon(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::daemon
