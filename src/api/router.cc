#include "api/router.h"

#include <algorithm>
#include <optional>

namespace skep::api {

namespace {

using Captures = std::vector<std::pair<std::string, std::string>>;

std::string_view take_segment(std::string_view& path) {
  size_t slash = path.find('/', 1);
  std::string_view segment = path.substr(0, slash);
  path.remove_prefix(segment.size());
  return segment;
}

std::optional<Captures> match(std::string_view pattern, std::string_view path) {
  Captures captures;
  while (!pattern.empty()) {
    std::string_view wanted = take_segment(pattern);
    if (wanted.size() > 3 && wanted[1] == '{') {
      bool rest = wanted[wanted.size() - 2] == '*';
      std::string_view name = wanted.substr(2, wanted.size() - (rest ? 4 : 3));
      std::string_view value = rest ? std::exchange(path, {}) : take_segment(path);
      if (value.size() < 2) return std::nullopt;
      captures.emplace_back(name, value.substr(1));
    } else if (take_segment(path) != wanted) {
      return std::nullopt;
    }
  }
  if (!path.empty()) return std::nullopt;
  return captures;
}

}  // namespace

Router::Match Router::find(std::string_view method, std::string_view path) const {
  if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  Match result;
  result.style = path.substr(0, 4) == "/v1/" ? ErrorStyle::openai : ErrorStyle::control;
  for (const Route& route : routes_) {
    auto captures = match(route.pattern, path);
    if (!captures) continue;
    result.style = route.style;
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      result.route = &route;
      result.captures = std::move(*captures);
      return result;
    }
    result.allowed.push_back(route.method);
    if (route.method == "GET") result.allowed.emplace_back("HEAD");
  }
  return result;
}

}  // namespace skep::api
