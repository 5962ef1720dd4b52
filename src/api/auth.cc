#include "api/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cstdlib>
#include <utility>

namespace skep::api {

namespace {

constexpr size_t kShortestSecret = 16;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

bool is_loopback(std::string_view host) {
  if (host == "localhost") return true;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(std::string(host), error);
  if (error) return false;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}

// "localhost:8051" → "localhost", "[::1]:8051" → "[::1]".
std::string_view without_port(std::string_view host) {
  size_t colon = host.rfind(':');
  size_t bracket = host.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) return host;
  return host.substr(0, colon);
}

// "http://example.org:3000" → "example.org:3000".
std::string_view host_of_origin(std::string_view origin) {
  size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

}  // namespace

const char* to_string(Role role) {
  switch (role) {
    case Role::read:
      return "read";
    case Role::user:
      return "user";
    case Role::admin:
      return "admin";
  }
  return "read";
}

std::optional<Role> role_from(std::string_view name) {
  for (Role role : {Role::read, Role::user, Role::admin}) {
    if (name == to_string(role)) return role;
  }
  return std::nullopt;
}

Sha256 sha256(std::string_view text) {
  Sha256 hash;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return hash;
}

Result<ApiKey> api_key_from_hash(std::string name, std::string_view hex, Role role, int requests_per_minute) {
  ApiKey key{std::move(name), {}, role, requests_per_minute};
  std::string digits = lower(hex);
  bool good = digits.size() == 2 * key.hash.size() && digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!good) {
    // Not repeated in the message: people put the secret itself here.
    return fail(ErrorCode::invalid_argument, fmt::format("API key '{}': its sha256 is not 64 hex digits", key.name),
                "printf %s SECRET | sha256sum");
  }
  for (size_t i = 0; i < key.hash.size(); ++i) {
    key.hash[i] = static_cast<uint8_t>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  }
  return key;
}

Result<ApiKey> api_key_from_environment(std::string name, const std::string& variable, Role role,
                                        int requests_per_minute) {
  const char* secret = std::getenv(variable.c_str());
  if (secret == nullptr || std::string_view(secret).size() < kShortestSecret) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("API key '{}': the environment variable {} holds no secret of at least {} characters", name,
                            variable, kShortestSecret),
                "openssl rand -hex 24 makes one");
  }
  return ApiKey{std::move(name), sha256(secret), role, requests_per_minute};
}

Status check_binding(std::string_view address, const AuthOptions& options) {
  if (is_loopback(address) || !options.keys.empty()) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("refusing to listen on {} without an API key: anybody who reaches it could use it", address),
              "add a key under api.keys, or listen on 127.0.0.1");
}

Auth::Auth(AuthOptions options) : options_(std::move(options)) {
  for (auto& host : options_.allowed_hosts) host = lower(host);
  for (const ApiKey& key : options_.keys) rates_.emplace_back(key.requests_per_minute);
}

Result<Caller> Auth::identify(const Credentials& credentials) const {
  if (options_.keys.empty()) {
    SKEP_CHECK(check_host(credentials.host));
    // A web page can send simple requests to localhost without CORS; it can't hide where it comes from.
    bool same_origin = lower(host_of_origin(credentials.origin)) == lower(credentials.host);
    if (!credentials.origin.empty() && !same_origin && !origin_allowed(credentials.origin)) {
      return fail(ErrorCode::permission_denied, "web pages of this origin may not call",
                  "list the origin under api.cors_origins");
    }
    return Caller{"local", Role::admin};
  }
  std::string_view secret = credentials.x_api_key;
  if (size_t space = credentials.authorization.find(' ');
      space != std::string_view::npos && lower(credentials.authorization.substr(0, space)) == "bearer") {
    secret = credentials.authorization.substr(space + 1);
  }
  if (secret.empty()) {
    return fail(ErrorCode::unauthenticated, "an API key is required", "send it as 'Authorization: Bearer KEY'");
  }
  Sha256 hash = sha256(secret);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : options_.keys) {  // all of them, so that the time tells nothing
    if (CRYPTO_memcmp(hash.data(), key.hash.data(), hash.size()) == 0) found = &key;
  }
  if (found == nullptr) return fail(ErrorCode::unauthenticated, "unknown API key");
  return Caller{found->name, found->role};
}

Status Auth::check_host(std::string_view host) const {
  std::string name = lower(without_port(host));
  constexpr std::string_view local = ".localhost";
  bool below_localhost =
      name.size() > local.size() && name.compare(name.size() - local.size(), local.size(), local) == 0;
  const auto& allowed = options_.allowed_hosts;
  if (name.empty() || is_loopback(name) || below_localhost ||
      std::find(allowed.begin(), allowed.end(), name) != allowed.end()) {
    return {};
  }
  return fail(ErrorCode::permission_denied, "this server does not go by the name in the Host header",
              "call it as localhost, list the name under api.allowed_hosts, or use API keys");
}

std::optional<Duration> Auth::spend_request(const Caller& caller, TimePoint now) {
  for (size_t i = 0; i < options_.keys.size(); ++i) {
    if (options_.keys[i].name == caller.name) return rates_[i].take(now);
  }
  return std::nullopt;
}

bool Auth::origin_allowed(std::string_view origin) const {
  const auto& origins = options_.cors_origins;
  return std::any_of(origins.begin(), origins.end(),
                     [&](const std::string& allowed) { return allowed == "*" || allowed == origin; });
}

}  // namespace skep::api
