#include "engine/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace skep::engine {
namespace {

// No name that somebody wrote into a configuration begins with it; one that does is written in the long form.
constexpr char kLong = '\x1f';

}  // namespace

int shareable(const Scope& a, const Scope& b, int equal) {
  if (a.same_as(b)) return equal;
  return a.open == b.open ? std::min({equal, a.open_tokens, b.open_tokens}) : 0;
}

// The length of the public part in tokens, that of its name in bytes, both names.
std::string to_text(const Scope& scope) {
  if (scope.open_tokens == 0 && !scope.own.starts_with(kLong)) return scope.own;
  return fmt::format("{}{} {} {}{}", kLong, scope.open_tokens, scope.open.size(), scope.open, scope.own);
}

Scope scope_from(std::string_view text) {
  if (!text.starts_with(kLong)) return {std::string(text)};
  Scope scope;
  size_t name = 0;
  const char* end = text.data() + text.size();
  const auto tokens = std::from_chars(text.data() + 1, end, scope.open_tokens);
  if (tokens.ec != std::errc() || tokens.ptr == end || scope.open_tokens < 0) return {std::string(text)};
  const auto size = std::from_chars(tokens.ptr + 1, end, name);
  if (size.ec != std::errc() || size.ptr == end || static_cast<size_t>(end - size.ptr - 1) < name) {
    return {std::string(text)};
  }
  scope.open.assign(size.ptr + 1, name);
  scope.own.assign(size.ptr + 1 + name, end);
  return scope;
}

}  // namespace skep::engine
