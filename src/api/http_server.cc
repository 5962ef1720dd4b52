#include "api/http_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <unordered_map>

#include "api/http_connection.h"
#include "api/http_head.h"

namespace skep::api {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);  // when the process is out of file descriptors

// Files that are not the server's: databases, engines' sockets, logs.
constexpr rlim_t kOtherFiles = 256;

// As many of `wanted` connections as this process may have files for, after raising its own limit as far as it may:
// running out would take the engines' sockets down too.
int affordable_connections(int wanted) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return wanted;
  rlim_t needed = static_cast<rlim_t>(wanted) + kOtherFiles;
  if (files.rlim_cur < needed) {
    rlimit raised = files;
    raised.rlim_cur = std::min(needed, files.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) files = raised;
  }
  rlim_t left = files.rlim_cur > kOtherFiles ? files.rlim_cur - kOtherFiles : 1;
  return static_cast<int>(std::min<rlim_t>(static_cast<rlim_t>(wanted), left));
}

}  // namespace

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  Impl(AsioEventLoop& event_loop, HttpHandler& handler, HttpLimits limits)
      : loop(event_loop), acceptor(event_loop.context()) {
    host->handler = &handler;
    host->limits = limits;
    host->clock = &event_loop.clock();
  }

  AsioEventLoop& loop;
  tcp::acceptor acceptor;
  std::shared_ptr<ConnectionHost> host = std::make_shared<ConnectionHost>();
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections;
  TimerId sweep_timer = TimerId::none;
  TimerId drain_timer = TimerId::none;
  std::function<void()> drained;

  void start() {
    host->over = [self = weak_from_this()](Connection* connection) {
      if (auto impl = self.lock()) impl->over(connection);
    };
    asio::co_spawn(
        loop.context(), [self = shared_from_this()]() -> asio::awaitable<void> { co_await self->accept(); },
        asio::detached);
    sweep();
  }

  asio::awaitable<void> accept() {
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
      if (!acceptor.is_open()) break;
      if (error) {  // out of descriptors, or the client left meanwhile: the listener itself is fine
        asio::steady_timer pause(loop.context(), kAcceptPause);
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
        continue;
      }
      if (connections.size() >= static_cast<size_t>(host->limits.connections)) {
        turn_away(socket);
        continue;
      }
      auto connection = std::make_shared<Connection>(std::move(socket), host);
      connections.emplace(connection.get(), connection);
      connection->start();
    }
  }

  void turn_away(tcp::socket& socket) {
    auto response = host->handler->protocol_error(503, "too many connections");
    response.headers.emplace_back("Retry-After", "1");
    error_code ignored;
    socket.non_blocking(true, ignored);
    std::string bytes = response_head(response, BodyFraming::length, false, loop.clock().wall()) + response.body;
    asio::write(socket, asio::buffer(bytes), ignored);  // fits a fresh socket's buffer
    socket.shutdown(tcp::socket::shutdown_both, ignored);
  }

  void sweep() {
    sweep_timer = loop.after(host->limits.sweep, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      TimePoint now = self->loop.now();
      for (auto& [pointer, connection] : self->connections) connection->sweep(now);
      self->sweep();
    });
  }

  void over(Connection* connection) {
    connections.erase(connection);
    finish_drain();
  }

  void drain(std::function<void()> done) {
    drained = std::move(done);
    host->draining = true;
    error_code ignored;
    acceptor.close(ignored);
    for (auto& [pointer, connection] : connections) connection->wake();
    drain_timer = loop.after(host->limits.drain, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->abandon_all();
    });
    loop.post([self = shared_from_this()] { self->finish_drain(); });
  }

  void finish_drain() {
    if (!drained || !connections.empty()) return;
    loop.cancel(drain_timer);
    loop.post(std::exchange(drained, {}));
  }

  void abandon_all() {
    auto open = connections;  // abandoning tells handlers, who may do anything
    for (auto& [pointer, connection] : open) connection->abandon();
  }

  void stop() {
    loop.cancel(sweep_timer);
    loop.cancel(drain_timer);
    drained = nullptr;
    error_code ignored;
    acceptor.close(ignored);
    abandon_all();
    host->handler = nullptr;
    connections.clear();
  }
};

HttpServer::HttpServer(AsioEventLoop& loop, HttpHandler& handler, HttpLimits limits)
    : impl_(std::make_shared<Impl>(loop, handler, limits)) {}

HttpServer::~HttpServer() { impl_->stop(); }

Result<uint16_t> HttpServer::listen(const std::string& address, uint16_t port) {
  error_code error;
  auto ip = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, error);
  if (error) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no IP address to listen on", address),
                "give an IPv4 or IPv6 address, or localhost");
  }
  tcp::endpoint endpoint(ip, port);
  tcp::acceptor& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) {
    error_code ignored;
    acceptor.close(ignored);
    return fail(ErrorCode::io, fmt::format("can't listen on {}:{}: {}", address, port, error.message()),
                "is another server running there? choose a different port");
  }
  uint16_t bound = acceptor.local_endpoint(error).port();
  impl_->host->limits.connections = affordable_connections(impl_->host->limits.connections);
  impl_->start();
  return bound;
}

void HttpServer::drain(std::function<void()> done) { impl_->drain(std::move(done)); }

int HttpServer::connections() const { return static_cast<int>(impl_->connections.size()); }

}  // namespace skep::api
