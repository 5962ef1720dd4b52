#include "model/fake_http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <set>

namespace skep::model {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
}

struct FakeHttpServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(AsioEventLoop& loop, FakeHttpServer& server)
      : context(loop.context()), owner(&server), acceptor(context, {asio::ip::address_v4::loopback(), 0}) {}

  static asio::awaitable<void> accept(std::shared_ptr<Impl> self) {
    for (;;) {
      auto [error, socket] = co_await self->acceptor.async_accept(kTuple);
      if (error || self->owner == nullptr) co_return;
      ++self->owner->accepted;
      asio::co_spawn(self->context, serve(self, std::make_shared<tcp::socket>(std::move(socket))), asio::detached);
    }
  }

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, std::shared_ptr<tcp::socket> socket) {
    self->sockets.insert(socket);
    ++self->owner->open;
    boost::beast::flat_buffer buffer;
    for (bool keep = true; keep;) {
      http::request<http::string_body> message;
      auto [error, size] = co_await http::async_read(*socket, buffer, message, kTuple);
      if (error || self->owner == nullptr) break;
      auto text = [](auto view) { return std::string(view.data(), view.size()); };
      Request request{text(message.method_string()), text(message.target()), message.body(),
                      text(message[http::field::authorization])};
      self->owner->requests.push_back(request);
      Script script = self->owner->answer ? self->owner->answer(request) : Script{};
      if (script.empty()) script = {reply(404, "{}")};
      self->owner->most_answering = std::max(self->owner->most_answering, ++self->owner->answering);
      keep = co_await play(*socket, std::move(script));
      if (self->owner == nullptr) co_return;
      --self->owner->answering;
    }
    boost::system::error_code ignored;
    (void)socket->close(ignored);
    self->sockets.erase(socket);
    if (self->owner != nullptr) --self->owner->open;
  }

  static asio::awaitable<bool> play(tcp::socket& socket, Script script) {
    for (const Step& step : script) {
      if (step.kind == Step::Kind::close) co_return false;
      if (step.kind == Step::Kind::pause) {
        // A client that goes away ends the pause: then there is something to read, an end.
        asio::steady_timer timer(socket.get_executor(), step.time);
        socket.async_wait(tcp::socket::wait_read, [&timer](const boost::system::error_code& error) {
          if (!error) timer.cancel();
        });
        auto [error] = co_await timer.async_wait(kTuple);
        boost::system::error_code ignored;
        if (error) co_return false;
        (void)socket.cancel(ignored);
        continue;
      }
      auto [error, size] = co_await asio::async_write(socket, asio::buffer(step.bytes), kTuple);
      if (error) co_return false;
    }
    co_return true;
  }

  asio::io_context& context;
  FakeHttpServer* owner;
  tcp::acceptor acceptor;
  std::set<std::shared_ptr<tcp::socket>> sockets;
};

FakeHttpServer::FakeHttpServer(AsioEventLoop& loop) : impl_(std::make_shared<Impl>(loop, *this)) {
  asio::co_spawn(loop.context(), Impl::accept(impl_), asio::detached);
}

FakeHttpServer::~FakeHttpServer() {
  impl_->owner = nullptr;
  boost::system::error_code ignored;
  (void)impl_->acceptor.close(ignored);
  close_connections();
}

void FakeHttpServer::close_connections() {
  boost::system::error_code ignored;
  for (const auto& socket : impl_->sockets) (void)socket->close(ignored);
}

std::string FakeHttpServer::url() const {
  return fmt::format("http://127.0.0.1:{}", impl_->acceptor.local_endpoint().port());
}

FakeHttpServer::Step FakeHttpServer::reply(int status, const std::string& body, const std::string& headers) {
  return send(fmt::format("HTTP/1.1 {} Status\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
                          status, headers, body.size(), body));
}
FakeHttpServer::Step FakeHttpServer::stream_head(const std::string& type) {
  return send(fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\r\n", type));
}
FakeHttpServer::Step FakeHttpServer::chunk(const std::string& bytes) {
  return send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
}
FakeHttpServer::Step FakeHttpServer::last_chunk() { return send("0\r\n\r\n"); }

}  // namespace skep::model
