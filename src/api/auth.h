#pragma once
// Who may call: API keys with roles and rates, and the checks that keep web pages away from a server without keys.
// Pure decisions over header values; secrets are kept as SHA-256 only and never appear in an error or a log.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/rate_limiter.h"
#include "base/result.h"

namespace skep::api {

// Each role may do what the ones before it may.
enum class Role {
  read,   // look: models, agents, tasks, usage, metrics
  user,   // also: submit tasks and embeddings, load and unload models, cancel own tasks
  admin,  // also: cancel anybody's tasks
};
const char* to_string(Role role);
std::optional<Role> role_from(std::string_view name);

using Sha256 = std::array<uint8_t, 32>;
Sha256 sha256(std::string_view text);

struct ApiKey {
  std::string name;  // names the caller in quotas, logs and metrics
  Sha256 hash{};     // of the secret
  Role role = Role::user;
  int requests_per_minute = 0;  // 0: no limit
};

// From the config: the hash in hex (as `printf %s SECRET | sha256sum` gives it), or the name of an environment variable
// that holds the secret (at least 16 characters).
Result<ApiKey> api_key_from_hash(std::string name, std::string_view hex, Role role, int requests_per_minute = 0);
Result<ApiKey> api_key_from_environment(std::string name, const std::string& variable, Role role,
                                        int requests_per_minute = 0);

struct AuthOptions {
  std::vector<ApiKey> keys;  // empty: no key is asked for, everybody is admin; only on loopback
  // Names under which browsers may reach a server without keys, besides localhost and loopback addresses.
  std::vector<std::string> allowed_hosts;
  // Web pages of other origins that may call, "https://chat.example.org"; "*" for all. Empty: CORS is off.
  std::vector<std::string> cors_origins;
};

// Refuses an address other than loopback when there are no keys. `address` is an IP literal or "localhost".
Status check_binding(std::string_view address, const AuthOptions& options);

struct Caller {
  std::string name;  // of the key; "local" where none is asked for
  Role role = Role::read;
};

// The header values that identify a caller; empty where the header is absent.
struct Credentials {
  std::string_view authorization;  // "Bearer …"
  std::string_view x_api_key;
  std::string_view host;
  std::string_view origin;
};

class Auth {
 public:
  explicit Auth(AuthOptions options);

  // unauthenticated: no key or an unknown one. permission_denied: a foreign Host or Origin (DNS rebinding, a web page
  // that tries its luck). Compares against every key in constant time.
  [[nodiscard]] Result<Caller> identify(const Credentials& credentials) const;

  // Takes one request from the caller's rate; if that is spent, when to come again.
  std::optional<Duration> spend_request(const Caller& caller, TimePoint now);

  // Whether a page of this origin may read answers (CORS).
  [[nodiscard]] bool origin_allowed(std::string_view origin) const;

 private:
  [[nodiscard]] Status check_host(std::string_view host) const;

  AuthOptions options_;
  std::vector<RateLimiter> rates_;  // beside options_.keys
};

}  // namespace skep::api
