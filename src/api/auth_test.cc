#include "api/auth.h"

#include <gmock/gmock.h>

#include "api/testing/server_fixture.h"

namespace skep::api::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ApiKey key(const std::string& name, const std::string& secret, Role role, int per_minute = 0) {
  return {name, sha256(secret), role, per_minute};
}

TEST(Auth, RefusesToListenToTheWorldWithoutAKey) {
  AuthOptions none, some;
  some.keys.push_back(key("a", "secret", Role::user));
  for (const char* address : {"127.0.0.1", "127.8.8.8", "::1", "localhost"}) {
    EXPECT_TRUE(check_binding(address, none).has_value()) << address;
  }
  for (const char* address : {"0.0.0.0", "::", "192.168.1.5", "::ffff:10.0.0.1"}) {
    auto refused = check_binding(address, none);
    ASSERT_FALSE(refused.has_value()) << address;
    EXPECT_THAT(refused.error().text(), HasSubstr("add a key under api.keys"));
    EXPECT_TRUE(check_binding(address, some).has_value()) << address;
  }
}

TEST(Auth, KnowsKeysByTheirHash) {
  auto from_hash =
      api_key_from_hash("ops", "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B", Role::admin);
  ASSERT_TRUE(from_hash.has_value());
  EXPECT_EQ(from_hash->hash, sha256("secret"));
  auto broken = api_key_from_hash("ops", "secret", Role::admin);
  ASSERT_FALSE(broken.has_value());
  EXPECT_THAT(broken.error().text(), Not(HasSubstr("secret'")));
  EXPECT_FALSE(api_key_from_hash("ops", std::string(64, 'g'), Role::admin).has_value());
}

TEST(Auth, ReadsKeysFromTheEnvironment) {
  ::setenv("SKEP_TEST_KEY", "0123456789abcdef", 1);
  auto read = api_key_from_environment("ci", "SKEP_TEST_KEY", Role::user);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->hash, sha256("0123456789abcdef"));
  ::setenv("SKEP_TEST_KEY", "short", 1);
  auto weak = api_key_from_environment("ci", "SKEP_TEST_KEY", Role::user);
  ASSERT_FALSE(weak.has_value());
  EXPECT_THAT(weak.error().text(), Not(HasSubstr("'short'")));
  ::unsetenv("SKEP_TEST_KEY");
  EXPECT_FALSE(api_key_from_environment("ci", "SKEP_TEST_KEY", Role::user).has_value());
}

TEST(Auth, TakesTheSecretFromEitherHeader) {
  AuthOptions options;
  options.keys = {key("a", "secret-a", Role::user), key("b", "secret-b", Role::read)};
  Auth auth(options);
  EXPECT_EQ(auth.identify({"Bearer secret-a", "", "", ""})->name, "a");
  EXPECT_EQ(auth.identify({"bearer secret-b", "", "", ""})->name, "b");
  EXPECT_EQ(auth.identify({"", "secret-b", "", ""})->name, "b");
  for (const char* authorization : {"", "Bearer", "Bearer wrong", "Basic secret-a", "secret-a"}) {
    auto refused = auth.identify({authorization, "", "", ""});
    ASSERT_FALSE(refused.has_value()) << authorization;
    EXPECT_EQ(refused.error().code, ErrorCode::unauthenticated);
  }
}

TEST(Auth, KeepsForeignNamesAndPagesAwayFromAServerWithoutKeys) {
  AuthOptions options;
  options.allowed_hosts = {"Box.lan"};
  Auth auth(options);
  for (const char* host :
       {"", "localhost", "LOCALHOST:8051", "127.0.0.1:8051", "[::1]:8051", "box.lan:80", "a.localhost"}) {
    EXPECT_TRUE(auth.identify({"", "", host, ""}).has_value()) << host;
  }
  for (const char* host : {"evil.example", "evil.example:8051", "localhost.evil.example", "192.168.1.5"}) {
    auto refused = auth.identify({"", "", host, ""});
    ASSERT_FALSE(refused.has_value()) << host;
    EXPECT_EQ(refused.error().code, ErrorCode::permission_denied);
  }
  EXPECT_TRUE(auth.identify({"", "", "localhost:8051", "http://localhost:8051"}).has_value());
  for (const char* origin : {"http://evil.example", "http://localhost:3000", "null"}) {
    EXPECT_FALSE(auth.identify({"", "", "localhost:8051", origin}).has_value()) << origin;
  }
}

TEST(RateLimiter, GivesBackAsTimePasses) {
  RateLimiter limiter(60);  // one a second, fifteen at once
  TimePoint now{};
  for (int i = 0; i < 15; ++i) EXPECT_FALSE(limiter.take(now).has_value());
  auto wait = limiter.take(now);
  ASSERT_TRUE(wait.has_value());
  EXPECT_NEAR(seconds(*wait), 1.0, 1e-6);
  now += std::chrono::milliseconds(2500);
  EXPECT_FALSE(limiter.take(now).has_value());
  EXPECT_FALSE(limiter.take(now).has_value());
  EXPECT_NEAR(seconds(limiter.take(now).value()), 0.5, 1e-6);
  now += std::chrono::hours(1);
  for (int i = 0; i < 15; ++i) EXPECT_FALSE(limiter.take(now).has_value());
  EXPECT_TRUE(limiter.take(now).has_value());
}

TEST(RateLimiter, AllowsEverythingWithoutALimit) {
  RateLimiter limiter(0);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(limiter.take(TimePoint{}).has_value());
}

class AuthServerTest : public ServerFixture {
 protected:
  int status(const std::string& method, const std::string& path, const std::string& secret,
             const std::string& body = "") {
    auto client = connect();
    client.send(method + " " + path +
                " HTTP/1.1\r\nHost: box.example\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
                (secret.empty() ? "" : "Authorization: Bearer " + secret + "\r\n") + "\r\n" + body);
    return client.response().status;
  }
};

TEST_F(AuthServerTest, LetsRolesDoWhatTheyMay) {
  options.auth.keys = {key("eye", "read-secret", Role::read), key("app", "user-secret", Role::user),
                       key("app2", "user-secret-2", Role::user), key("boss", "admin-secret", Role::admin)};
  backend.script = [](agent::TaskId, FakeBackend::OpenTask&) {};
  start();
  EXPECT_EQ(status("GET", "/healthz", ""), 200);
  EXPECT_EQ(status("GET", "/v1/models", ""), 401);
  EXPECT_EQ(status("GET", "/nowhere", ""), 401);
  EXPECT_EQ(status("GET", "/v1/models", "read-secret"), 200);
  EXPECT_EQ(status("GET", "/metrics", "read-secret"), 200);
  EXPECT_EQ(status("POST", "/v1/chat/completions", "read-secret", kChat), 403);
  auto app = connect();
  app.post("/v1/chat/completions", kChat, "x-api-key: user-secret\r\n");
  wait_until([&] { return backend.open.count(1) > 0; });
  EXPECT_EQ(on_loop([&] { return backend.open.at(1).request.caller; }), "app");
  EXPECT_EQ(status("DELETE", "/api/tasks/1", "user-secret-2"), 404);  // not its own
  EXPECT_EQ(status("DELETE", "/api/tasks/1", "user-secret"), 204);
  EXPECT_EQ(app.response().status, 499);
  auto again = connect();
  again.post("/v1/chat/completions", kChat, "x-api-key: user-secret\r\n");
  wait_until([&] { return backend.open.count(2) > 0; });
  EXPECT_EQ(status("DELETE", "/api/tasks/2", "admin-secret"), 204);
}

TEST_F(AuthServerTest, CountsRequestsOfAKeyAndSaysWhenToComeAgain) {
  options.auth.keys = {key("app", "user-secret", Role::user, 1), key("other", "other-secret", Role::user)};
  start();
  EXPECT_EQ(status("GET", "/v1/models", "user-secret"), 200);
  auto client = connect();
  client.get("/v1/models", "Authorization: Bearer user-secret\r\n");
  auto response = client.response();
  EXPECT_EQ(response.status, 429);
  EXPECT_GE(std::stoi(response.header("Retry-After")), 50);
  EXPECT_EQ(status("GET", "/v1/models", "other-secret"), 200);
}

TEST_F(AuthServerTest, RefusesABadKeyBeforeItReadsTheBody) {
  options.auth.keys = {key("app", "user-secret", Role::user)};
  start();
  auto client = connect();
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n");
  auto response = client.response();
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.header("WWW-Authenticate"), "Bearer");
}

TEST_F(AuthServerTest, LetsListedOriginsReadAnswersAndNoOthers) {
  options.auth.cors_origins = {"https://chat.example"};
  start();
  auto client = connect();
  client.get("/v1/models", "Origin: https://chat.example\r\n");
  EXPECT_EQ(client.response().header("Access-Control-Allow-Origin"), "https://chat.example");
  client.send(
      "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://chat.example\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n");
  auto preflight = client.response();
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("Access-Control-Allow-Methods"), "POST");
  client.get("/v1/models", "Origin: https://evil.example\r\n");
  auto foreign = client.response();
  EXPECT_EQ(foreign.status, 403);
  EXPECT_EQ(foreign.header("Access-Control-Allow-Origin"), "");
}

}  // namespace
}  // namespace skep::api::testing
