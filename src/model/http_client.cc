#include "model/http_client.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <cassert>
#include <charconv>
#include <deque>
#include <map>

namespace skep::model {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadSize = 16U << 10;
constexpr uint32_t kHeaderLimit = 64U << 10;
constexpr Duration kDrain = std::chrono::seconds(1);

Error transport_error(const HttpUrl& url, const char* doing, const boost::system::error_code& error, Duration limit) {
  std::string what =
      error == beast::error::timeout ? fmt::format("no answer within {:.1f} s", seconds(limit)) : error.message();
  return {ErrorCode::unavailable, fmt::format("{}: {}: {}", url.text(), doing, what), {}};
}

// One connection, plain or TLS.
struct Connection {
  explicit Connection(asio::io_context& context) : plain(std::make_unique<beast::tcp_stream>(context)) {}
  Connection(asio::io_context& context, ssl::context& tls)
      : secure(std::make_unique<beast::ssl_stream<beast::tcp_stream>>(context, tls)) {}

  beast::tcp_stream& tcp() { return plain ? *plain : beast::get_lowest_layer(*secure); }
  void close() {
    boost::system::error_code ignored;
    (void)tcp().socket().close(ignored);
  }
  // Nothing is expected to come on an idle connection: if something did, it is the server's closing.
  bool still_open() {
    boost::system::error_code error;
    std::array<char, 1> byte{};
    (void)tcp().socket().non_blocking(true, error);
    if (error) return false;
    (void)tcp().socket().receive(asio::buffer(byte), asio::socket_base::message_peek, error);
    return error == asio::error::would_block;
  }

  std::unique_ptr<beast::tcp_stream> plain;
  std::unique_ptr<beast::ssl_stream<beast::tcp_stream>> secure;
  beast::flat_buffer buffer;
  TimePoint idle_since{};
};

struct Exchange {
  HttpClient::Id id = 0;
  HttpClient::Request request;
  HttpClient::Listener listener;
  std::shared_ptr<Connection> connection;  // while it is on one
  bool heard_any = false;
  bool cancelled = false;
  bool unheard = false;  // drained
};

}  // namespace

struct HttpClient::Impl : std::enable_shared_from_this<Impl> {
  Impl(AsioEventLoop& event_loop, HttpUrl to, HttpClientOptions client_options)
      : loop(event_loop), url(std::move(to)), options(std::move(client_options)) {}

  Status set_up_tls() {
    if (!url.tls) return {};
    tls = std::make_unique<ssl::context>(ssl::context::tls_client);
    boost::system::error_code error;
    (void)tls->set_default_verify_paths(error);
    if (!error && !options.ca_file.empty()) (void)tls->load_verify_file(options.ca_file, error);
    if (!error) (void)tls->set_verify_mode(ssl::verify_peer, error);
    if (!error) return {};
    return fail(ErrorCode::invalid_argument,
                fmt::format("TLS for {}: {} {}", url.text(), options.ca_file, error.message()));
  }

  // --- Which exchange is on which connection

  Id send(Request request, Listener listener) {
    auto exchange = std::make_shared<Exchange>();
    exchange->id = next++;
    exchange->request = std::move(request);
    exchange->listener = std::move(listener);
    exchanges.emplace(exchange->id, exchange);
    if (waiting.size() >= options.most_waiting) {
      loop.post([self = shared_from_this(), exchange] {
        self->finish(*exchange, fail(ErrorCode::overloaded,
                                     fmt::format("{} requests wait for {}", self->waiting.size(), self->url.text())));
      });
      return exchange->id;
    }
    waiting.push_back(exchange);
    // Posted: no callback may come from inside the call.
    loop.post([self = shared_from_this()] { self->pump(); });
    return exchange->id;
  }

  void pump() {
    while (!waiting.empty() && active < options.most_connections) {
      std::shared_ptr<Exchange> exchange = std::move(waiting.front());
      waiting.pop_front();
      if (exchange->cancelled) continue;
      ++active;
      asio::co_spawn(loop.context(), run(shared_from_this(), std::move(exchange)), asio::detached);
    }
  }

  void cancel(Id id) {
    auto node = exchanges.extract(id);
    if (node.empty()) return;
    Exchange& exchange = *node.mapped();
    exchange.cancelled = true;
    if (exchange.connection) exchange.connection->close();
  }

  void drain(Id id) {
    auto exchange = exchanges.find(id);
    if (exchange == exchanges.end()) return;
    exchange->second->unheard = true;
    loop.after(kDrain, [weak = weak_from_this(), id] {
      if (auto self = weak.lock()) self->cancel(id);
    });
  }

  void finish(Exchange& exchange, const Status& status) {
    if (exchanges.erase(exchange.id) == 0) return;  // cancelled
    exchange.cancelled = true;
    if (exchange.listener.end && !exchange.unheard) exchange.listener.end(status);
  }

  void close() {
    for (auto& [id, exchange] : std::exchange(exchanges, {})) {
      exchange->cancelled = true;
      if (exchange->connection) exchange->connection->close();
    }
    waiting.clear();
    idle.clear();
    closed = true;
  }

  std::shared_ptr<Connection> take_idle() {
    while (!idle.empty()) {
      std::shared_ptr<Connection> connection = std::move(idle.back());
      idle.pop_back();
      if (loop.now() - connection->idle_since < options.idle && connection->still_open()) return connection;
    }
    return nullptr;
  }

  // --- One exchange

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, std::shared_ptr<Exchange> exchange) {
    Status status;
    for (bool may_reuse = true;; may_reuse = false) {
      std::shared_ptr<Connection> connection = may_reuse ? self->take_idle() : nullptr;
      bool reused = connection != nullptr;
      if (!reused) {
        connection = self->tls ? std::make_shared<Connection>(self->loop.context(), *self->tls)
                               : std::make_shared<Connection>(self->loop.context());
      }
      exchange->connection = connection;
      status = {};
      if (!reused) status = co_await self->connect(*connection);
      bool keep = false;
      if (status && !exchange->cancelled) {
        if (connection->plain)
          status = co_await self->talk(*connection->plain, *connection, *exchange, keep);
        else
          status = co_await self->talk(*connection->secure, *connection, *exchange, keep);
      }
      exchange->connection = nullptr;
      if (!status && reused && !exchange->heard_any && !exchange->cancelled) continue;
      if (status && keep && !exchange->cancelled && !self->closed) {
        connection->tcp().expires_never();
        connection->idle_since = self->loop.now();
        if (self->idle.size() < self->options.most_connections) self->idle.push_back(std::move(connection));
      }
      break;
    }
    --self->active;
    self->finish(*exchange, status);
    self->pump();
  }

  asio::awaitable<Status> connect(Connection& connection) {
    asio::ip::tcp::resolver resolver(loop.context());
    // The resolver knows no time-out of its own: the timer cancels it.
    TimerId timer = loop.after(options.connect, [&resolver] { resolver.cancel(); });
    auto [resolve_error, addresses] = co_await resolver.async_resolve(url.host, url.port, kTuple);
    loop.cancel(timer);
    if (resolve_error) co_return fail(transport_error(url, "looking up the host", resolve_error, options.connect));
    connection.tcp().expires_after(options.connect);
    auto [connect_error, endpoint] = co_await connection.tcp().async_connect(addresses, kTuple);
    if (connect_error) co_return fail(transport_error(url, "connecting", connect_error, options.connect));
    boost::system::error_code ignored;
    (void)connection.tcp().socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    if (!connection.secure) co_return Status();
    if (SSL_set_tlsext_host_name(connection.secure->native_handle(), url.host.c_str()) != 1)
      co_return fail(ErrorCode::unavailable, fmt::format("{}: TLS could not be set up", url.text()));
    connection.secure->set_verify_callback(ssl::host_name_verification(url.host));
    connection.tcp().expires_after(options.connect);
    auto [tls_error] = co_await connection.secure->async_handshake(ssl::stream_base::client, kTuple);
    if (tls_error) co_return fail(transport_error(url, "TLS", tls_error, options.connect));
    co_return Status();
  }

  http::request<http::string_body> message_for(const Request& request) const {
    http::request<http::string_body> message;
    message.version(11);
    message.method_string(request.method);
    message.target(url.base + request.target);
    bool default_port = url.port == (url.tls ? "443" : "80");
    message.set(http::field::host, default_port ? url.host : url.host + ":" + url.port);
    message.set(http::field::user_agent, "skep");
    message.set(http::field::accept, "application/json, text/event-stream");
    for (const auto& [name, value] : options.headers) message.set(name, value);
    if (!request.body.empty()) {
      message.set(http::field::content_type, "application/json");
      message.body() = request.body;
    }
    message.prepare_payload();
    return message;
  }

  template <typename Stream>
  asio::awaitable<Status> talk(Stream& stream, Connection& connection, Exchange& exchange, bool& keep) {
    http::request<http::string_body> message = message_for(exchange.request);
    connection.tcp().expires_after(options.between_bytes);
    auto [write_error, written] = co_await http::async_write(stream, message, kTuple);
    if (write_error) co_return fail(transport_error(url, "sending", write_error, options.between_bytes));

    http::response_parser<http::buffer_body> parser;
    parser.header_limit(kHeaderLimit);
    parser.body_limit(boost::none);  // the listener's business: it is handed on and not kept
    connection.tcp().expires_after(options.first_byte);
    auto [head_error, head_size] = co_await http::async_read_header(stream, connection.buffer, parser, kTuple);
    if (exchange.cancelled) co_return Status();
    if (head_error) co_return fail(transport_error(url, "waiting for the answer", head_error, options.first_byte));
    exchange.heard_any = true;
    if (exchange.listener.head && !exchange.unheard) exchange.listener.head(head_of(parser.get()));

    std::array<char, kReadSize> data{};
    while (!parser.is_done() && !exchange.cancelled) {
      parser.get().body().data = data.data();
      parser.get().body().size = data.size();
      connection.tcp().expires_after(options.between_bytes);
      auto [error, size] = co_await http::async_read_some(stream, connection.buffer, parser, kTuple);
      if (exchange.cancelled) co_return Status();
      if (error && error != http::error::need_buffer)
        co_return fail(transport_error(url, "reading the answer", error, options.between_bytes));
      size_t got = data.size() - parser.get().body().size;
      if (got > 0 && exchange.listener.data && !exchange.unheard) exchange.listener.data({data.data(), got});
    }
    keep = parser.keep_alive();
    co_return Status();
  }

  template <typename Head>
  static HttpHead head_of(const Head& message) {
    HttpHead head{.status = static_cast<int>(message.result_int())};
    auto value = message[http::field::retry_after];
    int wait = 0;
    if (std::from_chars(value.data(), value.data() + value.size(), wait).ec == std::errc() && wait >= 0)
      head.retry_after = std::chrono::seconds(wait);
    return head;
  }

  AsioEventLoop& loop;
  const HttpUrl url;
  const HttpClientOptions options;
  std::unique_ptr<ssl::context> tls;
  std::map<Id, std::shared_ptr<Exchange>> exchanges;  // not over and not cancelled
  std::deque<std::shared_ptr<Exchange>> waiting;      // for a connection
  std::vector<std::shared_ptr<Connection>> idle;      // the one used last is at the end
  size_t active = 0;
  Id next = 1;
  bool closed = false;
};

HttpClient::HttpClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<HttpClient>> HttpClient::create(AsioEventLoop& loop, HttpUrl url, HttpClientOptions options) {
  auto impl = std::make_shared<Impl>(loop, std::move(url), std::move(options));
  SKEP_CHECK(impl->set_up_tls());
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

HttpClient::~HttpClient() { impl_->close(); }

HttpClient::Id HttpClient::send(Request request, Listener listener) {
  return impl_->send(std::move(request), std::move(listener));
}

HttpClient::Id HttpClient::fetch(Request request, Bytes limit, std::function<void(Result<Answer>)> done) {
  struct Fetching {
    Answer answer;
    Id id = 0;
    std::function<void(Result<Answer>)> done;
  };
  auto fetching = std::make_shared<Fetching>();
  fetching->done = std::move(done);
  Listener listener{
      .head = [fetching](const HttpHead& head) { fetching->answer.head = head; },
      .data =
          [fetching, limit, weak = std::weak_ptr(impl_)](std::string_view data) {
            fetching->answer.body.append(data);
            if (fetching->answer.body.size() <= static_cast<size_t>(limit.count)) return;
            if (auto impl = weak.lock()) impl->cancel(fetching->id);
            fetching->done(fail(ErrorCode::too_large, fmt::format("the answer is larger than {}", to_string(limit))));
          },
      .end =
          [fetching](const Status& status) {
            if (!status) return fetching->done(fail(status.error()));
            fetching->done(std::move(fetching->answer));
          }};
  fetching->id = send(std::move(request), std::move(listener));
  return fetching->id;
}

void HttpClient::cancel(Id id) { impl_->cancel(id); }
void HttpClient::drain(Id id) { impl_->drain(id); }
size_t HttpClient::connections() const { return impl_->active + impl_->idle.size(); }

}  // namespace skep::model
