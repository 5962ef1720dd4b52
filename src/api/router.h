#pragma once
// Finds the handler for a method and a path. Patterns are written like "/v1/models/{id*}": {name} matches one segment,
// {name*} the rest, slashes included (model ids contain them). Patterns are tried in the order of their registration.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/api_error.h"
#include "api/http_message.h"

namespace skep::api {

struct Route {
  std::string method;
  std::string pattern;
  std::optional<Role> role;  // that a caller needs; unset: open to everybody, even without a key
  ErrorStyle style = ErrorStyle::control;
  std::function<void(std::shared_ptr<Exchange>)> handle;
};

class Router {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }

  struct Match {
    const Route* route = nullptr;
    std::vector<std::pair<std::string, std::string>> captures;
    std::vector<std::string> allowed;        // methods, when the path is known and the method is not
    ErrorStyle style = ErrorStyle::control;  // for errors about this path
  };
  // HEAD is answered by the route for GET; one trailing slash is ignored.
  [[nodiscard]] Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace skep::api
