#include "cli/session.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <utility>

#include "cli/terminal.h"

namespace skep::cli {

struct Session::Signals {
  explicit Signals(AsioEventLoop& loop) : set(loop.context(), SIGINT, SIGTERM) {}

  void wait() {
    set.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      if (std::exchange(heard_once, true)) _exit(kInterrupted);  // a second time: now
      wait();
      if (heard) heard();
    });
  }

  boost::asio::signal_set set;
  std::function<void()> heard;
  bool heard_once = false;
};

Session::Session(daemon::DaemonOptions options)
    : options_(std::move(options)), signals_(std::make_unique<Signals>(loop_)) {
  std::signal(SIGPIPE, SIG_IGN);
  signals_->wait();
}

Session::~Session() = default;

Status Session::start() {
  SKEP_TRY(daemon_, daemon::Daemon::make(loop_, std::move(options_)));
  return {};
}

void Session::on_interrupt(std::function<void()> heard) { signals_->heard = std::move(heard); }
void Session::run() { loop_.run(); }

void Session::finish() {
  if (std::exchange(finishing_, true)) return;
  if (!daemon_) return loop_.stop();
  daemon_->shut_down([this] { loop_.stop(); });
}

}  // namespace skep::cli
