#include "load_generator.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace skep::bench {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

struct Shared {
  uint16_t port;
  const std::vector<LoadRequest>& requests;
  LoadResult& result;
  TimePoint began;
  size_t next = 0;
};

asio::awaitable<void> one(Shared& shared, beast::tcp_stream& stream, const LoadRequest& request, LoadAnswer& answer) {
  boost::system::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  if (!stream.socket().is_open()) {
    co_await stream.async_connect(tcp::endpoint(asio::ip::address_v4::loopback(), shared.port), token);
    if (error) co_return;
    stream.socket().set_option(tcp::no_delay(true));
  }
  http::request<http::string_body> message(http::verb::post, request.target, 11, request.body);
  message.set(http::field::host, "127.0.0.1");
  message.set(http::field::content_type, "application/json");
  message.prepare_payload();
  auto sent = std::chrono::steady_clock::now();
  co_await http::async_write(stream, message, token);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(1ULL << 30);
  if (!error) co_await http::async_read_header(stream, buffer, parser, token);
  while (!error && !parser.is_done()) {
    co_await http::async_read_some(stream, buffer, parser, token);
    if (answer.first_byte == Duration::zero()) answer.first_byte = std::chrono::steady_clock::now() - sent;
  }
  answer.latency = std::chrono::steady_clock::now() - sent;
  if (error || !parser.get().keep_alive()) stream.close();
  if (error) co_return;
  answer.status = static_cast<int>(parser.get().result_int());
  answer.body = std::move(parser.get().body());
}

asio::awaitable<void> client(Shared& shared) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  while (shared.next < shared.requests.size()) {
    size_t at = shared.next++;
    const LoadRequest& request = shared.requests[at];
    if (auto due = shared.began + request.delay; due > std::chrono::steady_clock::now()) {
      asio::steady_timer timer(co_await asio::this_coro::executor, due);
      co_await timer.async_wait(asio::use_awaitable);
    }
    co_await one(shared, stream, request, shared.result.answers[at]);
  }
}

}  // namespace

LoadResult send_all(uint16_t port, const std::vector<LoadRequest>& requests, int concurrency) {
  LoadResult result;
  result.answers.resize(requests.size());
  asio::io_context context{1};
  Shared shared{port, requests, result, std::chrono::steady_clock::now()};
  for (int i = 0; i < concurrency; ++i) asio::co_spawn(context, client(shared), asio::detached);
  context.run();
  result.wall = std::chrono::steady_clock::now() - shared.began;
  return result;
}

}  // namespace skep::bench
