#pragma once
// Who may take over whose cells: callers of one scope each other's. What the configuration calls public is the
// exception: a beginning whose cells everybody shares. What follows it is the caller's own again.

#include <string>
#include <string_view>

namespace skep::engine {

// Of what the configuration calls public. No caller is named so; an adapter's name may follow.
inline constexpr std::string_view kPublicScope = "\x1fpublic";

struct Scope {
  Scope() = default;
  Scope(std::string name) : own(std::move(name)) {}  // NOLINT: a name alone is a scope
  Scope(const char* name) : own(name) {}             // NOLINT

  std::string own;
  std::string open;     // the scope of the first `open_tokens`; never that of a caller
  int open_tokens = 0;  // 0: nothing is public
  std::string owner;    // the agent whose conversation it is; decides nothing about who may take over what

  // Of the token at `position`.
  [[nodiscard]] const std::string& at(int position) const { return position < open_tokens ? open : own; }
  // Whoever the owners are.
  [[nodiscard]] bool same_as(const Scope& other) const {
    return own == other.own && open == other.open && open_tokens == other.open_tokens;
  }
  friend bool operator==(const Scope&, const Scope&) = default;
};

// Of two sequences whose first tokens are equal: how many of these may be the same cells.
int shareable(const Scope& a, const Scope& b, int equal);

// For the header of a parked entry, and back; without the owner. A text that to_text() did not write is the name of an
// own scope.
std::string to_text(const Scope& scope);
Scope scope_from(std::string_view text);

}  // namespace skep::engine
