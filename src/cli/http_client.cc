#include "cli/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <cstdlib>

#include "base/json.h"

namespace skep::cli {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

namespace {

constexpr uint64_t kMostBody = 256ULL << 20;  // of an answer
constexpr size_t kMostLine = 16U << 20;       // of a streamed line

}  // namespace

struct HttpClient::Impl {
  std::string host, port, key;
  asio::io_context context;
  std::optional<beast::tcp_stream> stream;
  beast::flat_buffer buffer;

  // Runs what was started until it ends; the stream's own timer bounds it.
  void run() {
    context.restart();
    context.run();
  }

  Status connect(Duration timeout) {
    if (stream && stream->socket().is_open()) return {};
    boost::system::error_code error;
    tcp::resolver resolver(context);
    auto found = resolver.resolve(host, port, error);
    if (error) return fail(ErrorCode::unavailable, fmt::format("{} can't be resolved: {}", host, error.message()));
    stream.emplace(context);
    buffer.clear();
    stream->expires_after(timeout);
    stream->async_connect(found, [&](boost::system::error_code e, const tcp::endpoint&) { error = e; });
    run();
    if (error) {
      stream.reset();
      return fail(ErrorCode::unavailable,
                  fmt::format("no skep daemon answers at http://{}:{} ({})", host, port, error.message()),
                  "start one with `skep serve`, or name another with --url or SKEP_URL");
    }
    return {};
  }

  // Sends the request and reads the head of the answer. A kept connection may have been closed by the daemon
  // meanwhile: then once more on a new one.
  template <typename Parser>
  Status exchange(const http::request<http::string_body>& request, std::optional<Parser>& parser, Duration timeout) {
    for (int attempt = 0;; ++attempt) {
      bool kept = stream && stream->socket().is_open();
      SKEP_CHECK(connect(timeout));
      parser.emplace();
      parser->body_limit(kMostBody);
      boost::system::error_code error;
      stream->expires_after(timeout);
      http::async_write(*stream, request, [&](boost::system::error_code e, size_t) {
        if ((error = e)) return;
        http::async_read_header(*stream, buffer, *parser,
                                [&](boost::system::error_code read, size_t) { error = read; });
      });
      run();
      if (!error) return {};
      stream.reset();
      if (kept && attempt == 0 && error != beast::error::timeout) continue;
      if (error == beast::error::timeout)
        return fail(ErrorCode::deadline_exceeded, "the daemon did not answer in time");
      return fail(ErrorCode::unavailable, fmt::format("the connection to the daemon broke: {}", error.message()));
    }
  }

  http::request<http::string_body> request(std::string_view method, std::string_view target, std::string body) {
    http::request<http::string_body> r;
    r.method_string({method.data(), method.size()});
    r.target({target.data(), target.size()});
    r.set(http::field::host, host + ":" + port);
    if (!key.empty()) r.set(http::field::authorization, "Bearer " + key);
    if (!body.empty()) r.set(http::field::content_type, "application/json");
    r.body() = std::move(body);
    r.prepare_payload();
    return r;
  }
};

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<HttpClient> HttpClient::make(std::string_view url, std::string key) {
  constexpr std::string_view kScheme = "http://";
  auto refuse = [&] {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a daemon's address", url),
                "write it as http://127.0.0.1:8051");
  };
  if (!url.starts_with(kScheme)) return refuse();
  std::string_view rest = url.substr(kScheme.size());
  while (rest.ends_with('/')) rest.remove_suffix(1);
  auto colon = rest.rfind(':');
  if (rest.empty() || rest.find('/') != rest.npos) return refuse();
  auto impl = std::make_unique<Impl>();
  impl->host = rest.substr(0, colon);
  impl->port = colon == rest.npos ? "8051" : rest.substr(colon + 1);
  impl->key = std::move(key);
  return HttpClient(std::move(impl));
}

Result<HttpAnswer> HttpClient::call(std::string_view method, std::string_view target, std::string body,
                                    Duration timeout) {
  auto request = impl_->request(method, target, std::move(body));
  std::optional<http::response_parser<http::string_body>> parser;
  SKEP_CHECK(impl_->exchange(request, parser, timeout));
  boost::system::error_code error;
  http::async_read(*impl_->stream, impl_->buffer, *parser, [&](boost::system::error_code e, size_t) { error = e; });
  impl_->run();
  if (error) {
    impl_->stream.reset();
    return fail(ErrorCode::unavailable, fmt::format("the daemon's answer broke off: {}", error.message()));
  }
  if (!parser->get().keep_alive()) impl_->stream.reset();
  return HttpAnswer{static_cast<int>(parser->get().result_int()), std::move(parser->get().body())};
}

Result<HttpAnswer> HttpClient::stream(std::string_view method, std::string_view target, std::string body,
                                      const std::function<bool(std::string_view)>& line) {
  auto request = impl_->request(method, target, std::move(body));
  std::optional<http::response_parser<http::buffer_body>> parser;
  SKEP_CHECK(impl_->exchange(request, parser, std::chrono::hours(1)));
  HttpAnswer answer{static_cast<int>(parser->get().result_int()), {}};
  std::string pending;
  while (!parser->is_done()) {
    char chunk[16384];
    parser->get().body().data = chunk;
    parser->get().body().size = sizeof chunk;
    boost::system::error_code error;
    impl_->stream->expires_after(std::chrono::minutes(10));
    http::async_read_some(*impl_->stream, impl_->buffer, *parser,
                          [&](boost::system::error_code e, size_t) { error = e; });
    impl_->run();
    if (error == http::error::need_buffer) error = {};
    size_t got = sizeof chunk - parser->get().body().size;
    if (error) {
      impl_->stream.reset();
      return fail(ErrorCode::unavailable, fmt::format("the daemon's answer broke off: {}", error.message()));
    }
    if (answer.status != 200) {
      answer.body.append(chunk, got);
      continue;
    }
    pending.append(chunk, got);
    if (pending.size() > kMostLine) return fail(ErrorCode::too_large, "the daemon sent a line without end");
    size_t begin = 0;
    for (size_t end; (end = pending.find('\n', begin)) != pending.npos; begin = end + 1) {
      std::string_view one(pending.data() + begin, end - begin);
      if (one.ends_with('\r')) one.remove_suffix(1);
      if (!line(one)) {
        impl_->stream.reset();  // what is left of the answer is not wanted
        return answer;
      }
    }
    pending.erase(0, begin);
  }
  if (!pending.empty()) line(pending);
  return answer;
}

Error error_of(const HttpAnswer& answer) {
  Error error;
  switch (answer.status) {
    case 400:
      error.code = ErrorCode::invalid_argument;
      break;
    case 401:
      error.code = ErrorCode::unauthenticated;
      break;
    case 403:
      error.code = ErrorCode::permission_denied;
      break;
    case 404:
      error.code = ErrorCode::not_found;
      break;
    case 413:
      error.code = ErrorCode::too_large;
      break;
    case 429:
      error.code = ErrorCode::quota_exhausted;
      break;
    case 503:
      error.code = ErrorCode::overloaded;
      break;
    case 504:
      error.code = ErrorCode::deadline_exceeded;
      break;
    default:
      error.code = ErrorCode::internal;
  }
  error.message = fmt::format("the daemon answered {}", answer.status);
  auto body = parse_json(answer.body, "the daemon's answer");
  if (!body || !body->is_object()) return error;
  if (const auto* inner = body->as_object().if_contains("error")) {
    if (inner->is_string()) error.message = inner->as_string().c_str();
    if (inner->is_object()) {
      if (const auto* message = inner->as_object().if_contains("message"); message != nullptr && message->is_string()) {
        error.message = message->as_string().c_str();
      }
    }
  }
  return error;
}

std::string daemon_url(const std::string& option) {
  if (!option.empty()) return option;
  const char* variable = std::getenv("SKEP_URL");
  return variable != nullptr && *variable != '\0' ? variable : "http://127.0.0.1:8051";
}

}  // namespace skep::cli
