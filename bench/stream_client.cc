#include "stream_client.h"

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
#include <memory>

namespace skep::bench {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

struct Run {
  Run(asio::io_context& context, uint16_t to, const std::vector<StreamRequest>& all) : port(to), requests(all) {
    answers.resize(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      over.push_back(std::make_unique<asio::steady_timer>(context, asio::steady_timer::time_point::max()));
      sockets.push_back(std::make_unique<beast::tcp_stream>(context));
      sockets.back()->expires_never();
      foreground += all[i].background ? 0 : 1;
    }
  }
  [[nodiscard]] Duration now() const { return std::chrono::steady_clock::now() - began; }

  uint16_t port;
  const std::vector<StreamRequest>& requests;
  std::vector<StreamAnswer> answers;
  std::vector<std::unique_ptr<asio::steady_timer>> over;  // cancelled when the request has ended
  std::vector<std::unique_ptr<beast::tcp_stream>> sockets;
  int foreground = 0;  // that have not ended
  TimePoint began = std::chrono::steady_clock::now();
};

// Events whose delta has text. Both servers write one event per token, and "content":"" or null in those without.
size_t events_with_text(std::string_view text) {
  constexpr std::string_view kKey = "\"content\":\"";
  size_t count = 0;
  for (size_t at = text.find(kKey); at != text.npos; at = text.find(kKey, at + 1)) {
    count += text[std::min(at + kKey.size(), text.size() - 1)] != '"' ? 1 : 0;
  }
  return count;
}

asio::awaitable<void> talk(Run& run, size_t index) {
  StreamAnswer& answer = run.answers[index];
  beast::tcp_stream& stream = *run.sockets[index];
  boost::system::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await stream.async_connect(tcp::endpoint(asio::ip::address_v4::loopback(), run.port), token);
  if (error) co_return;
  stream.socket().set_option(tcp::no_delay(true));
  http::request<http::string_body> message(http::verb::post, "/v1/chat/completions", 11, run.requests[index].body);
  message.set(http::field::host, "127.0.0.1");
  message.set(http::field::content_type, "application/json");
  message.prepare_payload();
  answer.sent = run.now();
  co_await http::async_write(stream, message, token);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(1ULL << 30U);
  if (!error) co_await http::async_read_header(stream, buffer, parser, token);
  if (!error) answer.status = static_cast<int>(parser.get().result_int());
  size_t seen = 0;     // bytes of the body that were looked at: whole lines
  size_t counted = 0;  // tokens
  while (!error && !parser.is_done()) {
    co_await http::async_read_some(stream, buffer, parser, token);
    const std::string& body = parser.get().body();
    const size_t lines = body.rfind('\n');
    if (lines == body.npos || lines < seen) continue;
    counted += events_with_text(std::string_view(body).substr(seen, lines - seen));
    seen = lines + 1;
    answer.tokens.resize(counted, run.now());
  }
}

asio::awaitable<void> play(Run& run, size_t index) {
  const StreamRequest& request = run.requests[index];
  boost::system::error_code ignored;
  if (request.after) co_await run.over[*request.after]->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  asio::steady_timer timer(co_await asio::this_coro::executor, request.delay);
  co_await timer.async_wait(asio::use_awaitable);
  co_await talk(run, index);
  run.answers[index].ended = run.now();
  // Whoever waits for us later finds a timer that is due.
  run.over[index]->expires_at(asio::steady_timer::time_point::min());
  if (request.background || --run.foreground > 0) co_return;
  for (size_t i = 0; i < run.requests.size(); ++i) {
    if (run.requests[i].background) run.sockets[i]->socket().close(ignored);
  }
}

}  // namespace

std::vector<StreamAnswer> play_streams(uint16_t port, const std::vector<StreamRequest>& requests) {
  asio::io_context context{1};
  Run run(context, port, requests);
  for (size_t i = 0; i < requests.size(); ++i) asio::co_spawn(context, play(run, i), asio::detached);
  context.run();
  return std::move(run.answers);
}

}  // namespace skep::bench
