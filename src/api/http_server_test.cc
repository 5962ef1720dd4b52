// HTTP itself, over real sockets: framing, limits, time-outs, drain.

#include "api/http_server.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <fstream>

#include "api/testing/server_fixture.h"

namespace skep::api::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpServerTest : public ServerFixture {};

TEST_F(HttpServerTest, KeepsTheConnectionForTheNextRequest) {
  start();
  auto client = connect();
  for (int i = 0; i < 3; ++i) {
    client.get("/");
    auto response = client.response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "Ollama is running");
    EXPECT_EQ(response.header("Connection"), "keep-alive");
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  auto client = connect();
  std::string body = kChat;
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body +
              "GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.response().body, HasSubstr("You said: hi"));
  EXPECT_EQ(client.response().body, R"({"version":"0.1.0"})");
  EXPECT_EQ(client.response().body, "Ollama is running");
}

TEST_F(HttpServerTest, AnswersHeadWithTheLengthAndNoBody) {
  start();
  auto client = connect();
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto response = client.response(true);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("Content-Length"), "17");
  client.get("/");
  EXPECT_EQ(client.response().status, 200);
}

TEST_F(HttpServerTest, ClosesWhenTheClientAsksForIt) {
  start();
  auto client = connect();
  client.get("/", "Connection: close\r\n");
  EXPECT_EQ(client.response().header("Connection"), "close");
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServerTest, StreamsToHttp10WithoutChunks) {
  start();
  auto client = connect();
  std::string body = kChatStream;
  client.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
              body);
  auto response = client.response();
  EXPECT_EQ(response.header("Transfer-Encoding"), "");
  EXPECT_THAT(response.body, StartsWith("data: {"));
  EXPECT_THAT(response.body, ::testing::EndsWith("data: [DONE]\n\n"));
}

TEST_F(HttpServerTest, ReadsChunkedBodies) {
  start();
  auto client = connect();
  std::string body = kChat;
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" +
              body.substr(0, 5) + "\r\n");
  client.send(fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", body.size() - 5, body.substr(5)));
  EXPECT_EQ(client.response().status, 200);
}

TEST_F(HttpServerTest, AsksForTheBodyThatAClientHoldsBack) {
  start();
  auto client = connect();
  std::string body = kChat;
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_EQ(client.response().status, 100);
  client.send(body);
  EXPECT_EQ(client.response().status, 200);
}

TEST_F(HttpServerTest, RefusesMalformedHttp) {
  start();
  for (const char* bytes :
       {"\x16\x03\x01 TLS hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/3.7\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    auto client = connect();
    client.send(bytes);
    auto response = client.response();
    EXPECT_EQ(response.status, 400) << bytes << response.head;
    EXPECT_THAT(response.body, HasSubstr("malformed HTTP")) << bytes;
    EXPECT_TRUE(client.ended()) << bytes;
  }
}

TEST_F(HttpServerTest, RefusesHeadersBeyondTheLimit) {
  options.limits.header = 8_KiB;
  start();
  auto client = connect();
  client.get("/", "X-Long: " + std::string(9000, 'x') + "\r\n");
  EXPECT_EQ(client.response().status, 431);
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServerTest, RefusesBodiesBeyondTheLimitWithoutReadingThem) {
  start();
  auto announced = connect();
  announced.send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n");
  auto response = announced.response();
  EXPECT_EQ(response.status, 413);
  EXPECT_THAT(response.body, HasSubstr("8.00 MiB"));

  options.limits.body = 8_MiB;
  auto chunked = connect();
  chunked.send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string megabyte(1 << 20, ' ');
  for (int i = 0; i < 9; ++i) chunked.send("100000\r\n" + megabyte + "\r\n");
  EXPECT_EQ(chunked.response().status, 413);
}

TEST_F(HttpServerTest, LimitsTheBytesOfAllBodiesTogether) {
  options.limits.bodies = Bytes(100);
  start();
  auto first = connect();
  first.send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n{");
  // The first has its promise once its connection was served.
  auto probe = connect();
  probe.get("/");
  probe.response();
  auto second = connect();
  second.send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n{");
  auto response = second.response();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.header("Retry-After"), "1");
  first.leave();
  wait_until([&] { return server->connections() <= 2; });
  auto third = connect();
  third.post("/api/show", R"({"model":"tiny-chat"})");
  EXPECT_EQ(third.response().status, 200);
}

TEST_F(HttpServerTest, NamesUnknownPathsAndWrongMethods) {
  start();
  auto client = connect();
  client.get("/v1/nothing");
  auto unknown = client.response();
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr(R"("message":"there is nothing at /v1/nothing")"));
  client.get("/api/chat");
  auto wrong = client.response();
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "POST");
}

TEST_F(HttpServerTest, ClosesIdleConnectionsSilently) {
  options.limits.idle = std::chrono::milliseconds(20);
  start();
  auto client = connect();
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServerTest, TellsClientsThatAreTooSlowToAsk) {
  options.limits.read_header = std::chrono::milliseconds(20);
  options.limits.read_body = std::chrono::milliseconds(20);
  start();
  auto header = connect();
  header.send("GET / HT");
  EXPECT_EQ(header.response().status, 408);
  EXPECT_TRUE(header.ended());
  auto body = connect();
  body.send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_EQ(body.response().status, 408);
  EXPECT_TRUE(body.ended());
}

TEST_F(HttpServerTest, TurnsConnectionsBeyondTheLimitAway) {
  options.limits.connections = 2;
  start();
  auto first = connect(), second = connect();
  for (auto* client : {&first, &second}) {
    client->get("/");
    EXPECT_EQ(client->response().status, 200);
  }
  auto third = connect();
  auto response = third.response();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.header("Retry-After"), "1");
  first.leave();
  wait_until([&] { return server->connections() == 1; });
  auto fourth = connect();
  fourth.get("/");
  EXPECT_EQ(fourth.response().status, 200);
}

long resident_kib() {
  std::ifstream statm("/proc/self/statm");
  long total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4;
}

// Both ends of every connection are in this process.
bool may_open(rlim_t files) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= files) return true;
  limit.rlim_cur = std::min(files, limit.rlim_max);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= files;
}

TEST_F(HttpServerTest, HoldsAThousandIdleConnectionsInLittleMemory) {
  if (!may_open(2200)) GTEST_SKIP() << "this machine allows a process fewer than 2,200 files";
  start();
  {
    auto warm = connect();
    warm.get("/");
    warm.response();
  }
  std::vector<RawClient> clients;
  clients.reserve(1000);
  long before = resident_kib();
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(connect());
    clients.back().get("/");
    ASSERT_EQ(clients.back().response().status, 200) << i;
  }
  EXPECT_EQ(on_loop([&] { return server->connections(); }), 1000);
  long bytes = (resident_kib() - before) * 1024 / 1000;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(bytes, 8192) << "for each connection";
#endif
  RecordProperty("bytes_per_connection", static_cast<int>(bytes));
  clients.front().get("/api/version");  // the oldest is still served
  EXPECT_EQ(clients.front().response().status, 200);
}

TEST_F(HttpServerTest, DrainsByFinishingOpenAnswersAndClosingTheRest) {
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    backend.say(id, "first");
  };
  start();
  auto idle = connect();
  idle.get("/");
  idle.response();
  auto busy = connect();
  busy.post("/v1/chat/completions", kChatStream);
  EXPECT_THAT(busy.until("first"), HasSubstr("200 OK"));

  std::promise<void> drained;
  on_loop([&] { server->drain([&] { drained.set_value(); }); });
  EXPECT_TRUE(idle.ended());
  auto late = connect();
  EXPECT_TRUE(late.ended());
  on_loop([&] {
    backend.say(1, " second");
    backend.finish(1, {});
  });
  EXPECT_THAT(busy.until("[DONE]"), HasSubstr("second"));
  busy.until("0\r\n\r\n");
  EXPECT_TRUE(busy.ended());
  drained.get_future().wait();
}

TEST_F(HttpServerTest, CutsAnswersOffThatOutliveTheDrain) {
  options.limits.drain = std::chrono::milliseconds(20);
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    backend.say(id, "first");
  };
  start();
  auto busy = connect();
  busy.post("/v1/chat/completions", kChatStream);
  busy.until("first");
  std::promise<void> drained;
  on_loop([&] { server->drain([&] { drained.set_value(); }); });
  drained.get_future().wait();
  EXPECT_EQ(on_loop([&] { return backend.cancelled; }), std::vector<agent::TaskId>{1});
}

TEST_F(HttpServerTest, RefusesAnAddressThatIsTaken) {
  start();
  ServerOptions same = options;
  same.port = port;
  auto second = on_loop([&] { return ApiServer(loop, backend, same).start(); });
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::io);
  EXPECT_THAT(second.error().text(), HasSubstr(std::to_string(port)));
}

}  // namespace
}  // namespace skep::api::testing
