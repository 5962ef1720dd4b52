#pragma once
// The address of a server, in its parts.

#include <string>
#include <string_view>

#include "base/result.h"

namespace skep::model {

struct HttpUrl {
  bool tls = false;
  std::string host, port;
  std::string base;  // path before every target, without a trailing slash
  [[nodiscard]] std::string text() const;
};
Result<HttpUrl> parse_url(std::string_view text);  // http:// or https://, no user, query or fragment

}  // namespace skep::model
