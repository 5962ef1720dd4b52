#include "model/http_url.h"

#include <algorithm>
#include <charconv>

namespace skep::model {

std::string HttpUrl::text() const {
  return fmt::format("{}://{}:{}{}", tls ? "https" : "http",
                     host.find(':') == std::string::npos ? host : "[" + host + "]", port, base);
}

Result<HttpUrl> parse_url(std::string_view text) {
  auto refuse = [&] {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not an http:// or https:// address", text),
                "write it as http://host:port or https://host/path");
  };
  HttpUrl url;
  std::string_view rest = text;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
    url.tls = true;
  } else {
    return refuse();
  }
  size_t path = rest.find('/');
  if (path != std::string_view::npos) {
    url.base = rest.substr(path);
    rest = rest.substr(0, path);
  }
  while (url.base.ends_with('/')) url.base.pop_back();
  size_t host_end = rest.starts_with('[') ? rest.find(']') : std::string_view::npos;
  if (rest.starts_with('[')) {
    if (host_end == std::string_view::npos) return refuse();
    url.host = rest.substr(1, host_end - 1);
    rest.remove_prefix(host_end + 1);
  } else {
    size_t colon = rest.find(':');
    url.host = rest.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon);
  }
  url.port = url.tls ? "443" : "80";
  if (!rest.empty()) {
    if (rest.front() != ':') return refuse();
    url.port = rest.substr(1);
  }
  int port = 0;
  auto [end, code] = std::from_chars(url.port.data(), url.port.data() + url.port.size(), port);
  bool bad_port = code != std::errc() || end != url.port.data() + url.port.size() || port < 1 || port > 65535;
  bool bad_text = std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }) ||
                  text.find_first_of("@?#\\") != std::string_view::npos;
  if (url.host.empty() || bad_port || bad_text) return refuse();
  return url;
}

}  // namespace skep::model
