#pragma once
// A loop with Ctrl-C handled, and a daemon on it for the commands that need one inside their process.

#include <functional>
#include <memory>
#include <string>

#include "base/asio_event_loop.h"
#include "daemon/daemon.h"

namespace skep::cli {

class Session {
 public:
  explicit Session(daemon::DaemonOptions options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Status start();
  [[nodiscard]] AsioEventLoop& loop() { return loop_; }
  [[nodiscard]] daemon::Daemon& daemon() { return *daemon_; }
  [[nodiscard]] api::Backend& backend() { return daemon_->backend(); }

  // Called on the loop for the first SIGINT or SIGTERM; the second one ends the process.
  void on_interrupt(std::function<void()> heard);
  void run();     // until finish()
  void finish();  // shuts the daemon down if one was started, then run() returns

 private:
  struct Signals;
  daemon::DaemonOptions options_;
  AsioEventLoop loop_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<daemon::Daemon> daemon_;
  bool finishing_ = false;
};

}  // namespace skep::cli
