#pragma once
// How a failure that the outside world can cause travels: Result<T> carries a value or an Error. What only a bug can
// cause is an assert. No exception crosses a folder's interface.

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace skep {

enum class ErrorCode {
  invalid_argument,   // the caller's input is wrong: 400
  unauthenticated,    // 401
  permission_denied,  // 403
  not_found,          // 404
  conflict,           // 409
  too_large,          // a size limit: 413
  context_overflow,   // the prompt does not fit the model's context: 400
  quota_exhausted,    // the caller's own limit: 429
  overloaded,         // the box is full: 503
  unavailable,        // something we depend on is down: 503
  deadline_exceeded,  // 504
  cancelled,          // the caller went away
  unsupported,        // we don't do this: 400 or 501
  corrupt,            // data that fails its own checks
  out_of_memory,      // does not fit the byte budget
  io,                 // the operating system said no
  internal,           // a fault on our side: 500
};

// The name as it stands in JSON and logs, e.g. "not_found".
const char* to_string(ErrorCode code);
std::optional<ErrorCode> error_code_from(std::string_view name);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;  // what is wrong, where: "skep.yaml:12: budget: …"
  std::string hint;     // the way out, may be empty

  // "message (hint)".
  [[nodiscard]] std::string text() const { return hint.empty() ? message : message + " (" + hint + ")"; }
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(hint)});
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace skep

// SKEP_TRY(auto x, expression): x is the value, or the function returns the error.
#define SKEP_CONCAT2(a, b) a##b
#define SKEP_CONCAT(a, b) SKEP_CONCAT2(a, b)
#define SKEP_TRY(declaration, expression) SKEP_TRY_IMPL(SKEP_CONCAT(skep_try_, __LINE__), declaration, expression)
#define SKEP_TRY_IMPL(temporary, declaration, expression)            \
  auto temporary = (expression);                                     \
  if (!temporary) return ::skep::fail(std::move(temporary).error()); \
  declaration = std::move(temporary).value()
// SKEP_CHECK(expression): for a Status.
#define SKEP_CHECK(expression)                                                                              \
  do {                                                                                                      \
    if (auto skep_status = (expression); !skep_status) return ::skep::fail(std::move(skep_status).error()); \
  } while (false)
