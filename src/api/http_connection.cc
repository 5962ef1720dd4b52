#include "api/http_connection.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <exception>
#include <optional>

#include "api/http_exchange.h"
#include "api/http_head.h"

namespace skep::api {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadAhead = 16 << 10;    // bytes of a pipelined request that are taken while an answer is under way
constexpr size_t kLingerBytes = 32 << 20;  // read and thrown away after a refusal
constexpr Duration kLingerTime = std::chrono::seconds(3);

using RequestParser = http::request_parser<http::string_body>;

// The request line and headers as our own struct. unset: the target is malformed.
std::optional<HttpRequest> head_of(const RequestParser& parser) {
  const auto& message = parser.get();
  HttpRequest request;
  request.method = std::string(message.method_string());
  std::string_view target(message.target().data(), message.target().size());
  if (size_t scheme = target.find("://"); scheme != std::string_view::npos && target.front() != '/') {
    size_t path = target.find('/', scheme + 3);  // absolute-form, as proxies send it
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  target = target.substr(0, target.find('#'));
  size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  auto path = percent_decode(target.substr(0, question));
  if (!path || path->empty() || (path->front() != '/' && *path != "*")) return std::nullopt;
  request.path = std::move(*path);
  for (const auto& field : message) {
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  return request;
}

}  // namespace

struct Connection::Parser : RequestParser {};

Connection::Connection(asio::ip::tcp::socket socket, std::shared_ptr<ConnectionHost> host)
    : socket_(std::move(socket)),
      signal_(socket_.get_executor(), asio::steady_timer::time_point::max()),
      host_(std::move(host)) {}

Connection::~Connection() {
  if (exchange_) exchange_->detach();  // a handler may keep it longer
}

void Connection::start() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  auto self = shared_from_this();
  // Ended by its own return, or by an exception (out of memory): either way the connection is over.
  asio::co_spawn(
      socket_.get_executor(), [self]() -> asio::awaitable<void> { co_await self->run(); },
      [self](const std::exception_ptr&) { self->close(); });
}

asio::awaitable<void> Connection::run() {
  bool more = true;
  while (more) {
    more = co_await next_request();
    if (more) more = co_await read_request();
    if (more) more = co_await answer();
    if (host_->draining) more = false;
  }
}

asio::awaitable<bool> Connection::next_request() {
  phase_ = Phase::idle;
  if (buffer_.size() == 0) buffer_.shrink_to_fit();
  set_deadline(host_->limits.idle);
  while (buffer_.size() == 0) {
    if (gone_ || timed_out_ || host_->draining) co_return false;
    arm_watch();
    co_await signal();
  }
  co_return phase_ != Phase::closed;
}

asio::awaitable<bool> Connection::read_request() {
  phase_ = Phase::reading;
  request_began_ = host_->clock->now();
  sent_ = Bytes(0);
  set_deadline(host_->limits.read_header);
  auto parser = std::make_unique<Parser>();
  parser->header_limit(static_cast<uint32_t>(host_->limits.header.count));
  parser->body_limit(static_cast<uint64_t>(host_->limits.body.count));
  parser->eager(false);
  auto [error, bytes] = co_await http::async_read_header(socket_, buffer_, *parser, kAwait);
  if (error || timed_out_) co_return co_await refuse_read(error, "headers");
  if (phase_ == Phase::closed) co_return false;

  keep_alive_ = parser->keep_alive();
  http10_ = parser->get().version() < 11;
  auto head = head_of(*parser);
  if (!head) co_return co_await refuse(host_->handler->protocol_error(400, "malformed HTTP: bad request target"));
  if (auto refusal = host_->handler->check(*head)) {
    if (!parser->is_done()) co_return co_await refuse(std::move(*refusal), &*head);
    // No body follows: the connection stays usable.
    exchange_ = std::make_shared<OpenExchange>(std::move(*head), host_->limits.unsent, nullptr);
    exchange_->respond(std::move(*refusal));
    co_return true;
  }
  if (!parser->is_done()) {
    bool whole = co_await read_body(*parser);
    if (!whole) co_return false;
  }
  head->body = std::move(parser->get().body());
  exchange_ = std::make_shared<OpenExchange>(std::move(*head), host_->limits.unsent, [this] { exchange_changed(); });
  host_->handler->handle(exchange_);
  co_return true;
}

asio::awaitable<bool> Connection::read_body(Parser& parser) {
  Bytes promised = parser.content_length() ? Bytes(static_cast<int64_t>(*parser.content_length())) : host_->limits.body;
  if (host_->bodies + promised > host_->limits.bodies) {
    auto busy = host_->handler->protocol_error(503, "too many large requests at once");
    busy.headers.emplace_back("Retry-After", "1");
    co_return co_await refuse(std::move(busy));
  }
  body_promised_ = promised;
  host_->bodies += promised;
  if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    bool sent = co_await write_all("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return false;
  }
  set_deadline(host_->limits.read_body);
  auto [error, bytes] = co_await http::async_read(socket_, buffer_, parser, kAwait);
  if (error || timed_out_) co_return co_await refuse_read(error, "body");
  co_return phase_ != Phase::closed;
}

asio::awaitable<bool> Connection::refuse_read(const error_code& error, const char* part) {
  if (phase_ == Phase::closed || host_->handler == nullptr) co_return false;
  HttpHandler& handler = *host_->handler;
  if (timed_out_) {
    co_return co_await refuse(handler.protocol_error(408, fmt::format("the request's {} took too long", part)));
  }
  if (error == http::error::header_limit) {
    co_return co_await refuse(
        handler.protocol_error(431, fmt::format("the request's headers exceed {}", to_string(host_->limits.header))));
  }
  // Reported with the headers already, where Content-Length gives it away.
  if (error == http::error::body_limit) {
    co_return co_await refuse(
        handler.protocol_error(413, fmt::format("the request's body exceeds {}", to_string(host_->limits.body))));
  }
  bool malformed = error.category() == http::make_error_code(http::error::bad_method).category() &&
                   error != http::error::end_of_stream && error != http::error::partial_message;
  if (!malformed) co_return false;  // the client left
  co_return co_await refuse(handler.protocol_error(400, "malformed HTTP: " + error.message()));
}

asio::awaitable<bool> Connection::answer() {
  phase_ = Phase::answering;
  no_deadline();
  auto exchange = exchange_;
  while (!exchange->begun() && !exchange->overrun()) {
    if (gone_ || phase_ == Phase::closed) break;
    arm_watch();
    co_await signal();
  }
  bool good = false;
  int status = 499;  // what the log says of a client that left before its answer
  if (exchange->begun() && phase_ != Phase::closed) {
    if (host_->draining) keep_alive_ = false;
    HttpResponse response = exchange->take_head();
    for (const auto& header : exchange->request().answer_headers) response.headers.push_back(header);
    status = response.status;
    if (exchange->streamed()) {
      good = co_await write_stream(response);
    } else {
      bool bodiless = exchange->request().method == "HEAD" || response.status == 204;
      std::string bytes = response_head(response, BodyFraming::length, keep_alive_, host_->clock->wall());
      if (!bodiless) bytes += response.body;
      response.body = {};
      good = co_await write_all(bytes);
    }
  }
  if (!good || !exchange->ended()) exchange->leave();
  exchange->detach();
  if (host_->handler != nullptr) {
    host_->handler->answered(&exchange->request(), status, sent_, host_->clock->now() - request_began_);
  }
  exchange_.reset();
  release_body();
  co_return good&& keep_alive_ && !gone_ && phase_ != Phase::closed;
}

asio::awaitable<bool> Connection::write_stream(const HttpResponse& head) {
  auto exchange = exchange_;
  if (http10_) keep_alive_ = false;
  BodyFraming framing = http10_ ? BodyFraming::until_end : BodyFraming::chunked;
  std::string bytes = response_head(head, framing, keep_alive_, host_->clock->wall());
  for (;;) {
    // Whatever gathered while the last write was under way goes out as one chunk.
    bool last = exchange->ended();
    if (exchange->has_unsent()) {
      std::string body = exchange->take_unsent();
      bytes += http10_ ? body : chunk(body);
    }
    if (last && !http10_) bytes += last_chunk;
    if (!bytes.empty() && !co_await write_all(bytes)) co_return false;
    bytes.clear();
    if (last) co_return true;
    while (!exchange->has_unsent() && !exchange->ended()) {
      if (gone_ || exchange->overrun() || phase_ == Phase::closed) co_return false;
      arm_watch();
      co_await signal();
    }
  }
}

asio::awaitable<bool> Connection::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    set_deadline(host_->limits.write_stall);  // for every write that makes progress anew
    auto [error, written] = co_await socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), kAwait);
    if (error || phase_ == Phase::closed) {
      gone_ = true;
      co_return false;
    }
    sent_ += Bytes(static_cast<int64_t>(written));
    bytes.remove_prefix(written);
    if (exchange_ && exchange_->overrun()) co_return false;
  }
  no_deadline();
  co_return true;
}

asio::awaitable<bool> Connection::refuse(HttpResponse response, const HttpRequest* request) {
  timed_out_ = false;
  keep_alive_ = false;
  if (request != nullptr) {
    for (const auto& header : request->answer_headers) response.headers.push_back(header);
  }
  std::string bytes = response_head(response, BodyFraming::length, false, host_->clock->wall()) + response.body;
  bool sent = co_await write_all(bytes);
  if (host_->handler != nullptr) {
    host_->handler->answered(request, response.status, sent_, host_->clock->now() - request_began_);
  }
  release_body();
  if (sent) co_await linger();
  co_return false;
}

asio::awaitable<void> Connection::linger() {
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  set_deadline(kLingerTime);
  auto sink = std::make_unique<std::array<char, 16 << 10>>();
  for (size_t total = 0; total < kLingerBytes;) {
    auto [read_error, count] = co_await socket_.async_read_some(asio::buffer(*sink), kAwait);
    if (read_error || timed_out_ || phase_ == Phase::closed) break;
    total += count;
  }
}

asio::awaitable<void> Connection::signal() {
  // Ended by cancel() only: its expiry is never.
  co_await signal_.async_wait(kAwait);
}

void Connection::wake() { signal_.cancel(); }

void Connection::exchange_changed() {
  if (exchange_ && exchange_->overrun()) {  // ends the write that its reader holds up
    error_code ignored;
    socket_.cancel(ignored);
  }
  wake();
}

void Connection::arm_watch() {
  if (watching_ || gone_ || phase_ == Phase::closed || buffer_.size() >= kReadAhead) return;
  watching_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    self->watching_ = false;
    // While a request is being read, its parser takes the bytes.
    if (!error && (self->phase_ == Phase::idle || self->phase_ == Phase::answering)) self->readable();
    self->wake();
  });
}

void Connection::readable() {
  error_code error;
  size_t count = socket_.read_some(buffer_.prepare(4096), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return;
  if (error || count == 0) {
    gone_ = true;
    return;
  }
  buffer_.commit(count);
}

void Connection::sweep(TimePoint now) {
  if (now < deadline_) return;
  no_deadline();
  timed_out_ = true;
  error_code ignored;
  socket_.cancel(ignored);
  wake();
}

void Connection::abandon() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  gone_ = true;
  if (auto exchange = exchange_) {
    exchange->leave();
    exchange->detach();
  }
  error_code ignored;
  socket_.close(ignored);
  wake();
}

void Connection::close() {
  phase_ = Phase::closed;
  no_deadline();
  release_body();
  if (exchange_) {
    exchange_->leave();
    exchange_->detach();
    exchange_.reset();
  }
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  if (host_->over) host_->over(this);
}

void Connection::set_deadline(Duration from_now) { deadline_ = host_->clock->now() + from_now; }
void Connection::no_deadline() { deadline_ = TimePoint::max(); }

void Connection::release_body() {
  host_->bodies -= body_promised_;
  body_promised_ = Bytes(0);
}

}  // namespace skep::api
