// When an answer is committed, what a client hears of failures, and what a task hears of clients, over real sockets.

#include "api/task_answer.h"

#include <gmock/gmock.h>

#include "api/testing/server_fixture.h"

namespace skep::api::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class TaskAnswerTest : public ServerFixture {
 protected:
  void leave_tasks_open() {
    backend.script = [](agent::TaskId, FakeBackend::OpenTask&) {};
  }
  void wait_for_task(agent::TaskId id) {
    wait_until([this, id] { return backend.open.count(id) > 0; });
  }
};

TEST_F(TaskAnswerTest, GivesAnErrorBeforeTheFirstTokenItsOwnStatus) {
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    backend.fail(id, {ErrorCode::quota_exhausted, "dev-1 used its tokens of this minute", ""},
                 std::chrono::milliseconds(12300));
  };
  start();
  for (const char* body : {kChat, kChatStream}) {
    auto client = connect();
    client.post("/v1/chat/completions", body);
    auto response = client.response();
    EXPECT_EQ(response.status, 429);
    EXPECT_EQ(response.header("Retry-After"), "13");
    EXPECT_EQ(response.header("Content-Type"), "application/json");
    EXPECT_EQ(response.body, R"({"error":{"message":"dev-1 used its tokens of this minute","type":"rate_limit_error",)"
                             R"("code":"rate_limit_exceeded","param":null}})");
  }
}

TEST_F(TaskAnswerTest, TellsOfAnErrorAfterTheFirstTokenInTheStream) {
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    backend.say(id, "some");
    backend.fail(id, {ErrorCode::unavailable, "the engine died", ""});
  };
  start();
  auto client = connect();
  client.post("/v1/chat/completions", kChatStream);
  auto openai = client.response();
  EXPECT_EQ(openai.status, 200);
  EXPECT_THAT(openai.body, EndsWith(R"(data: {"error":{"message":"the engine died","type":"overloaded_error",)"
                                    R"("code":"unavailable","param":null}})"
                                    "\n\n"));
  client.post("/api/chat", R"({"model":"tiny-chat","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_THAT(client.response().body, EndsWith("{\"error\":\"the engine died\"}\n"));
}

TEST_F(TaskAnswerTest, CommitsAStreamWithAPingWhileTheModelLoads) {
  options.ping = std::chrono::milliseconds(10);
  leave_tasks_open();
  start();
  auto client = connect();
  client.post("/v1/chat/completions", kChatStream);
  EXPECT_THAT(client.until(": ping\n\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  client.until(": ping\n\n");  // and another
  on_loop([&] { backend.fail(1, {ErrorCode::out_of_memory, "does not fit", ""}); });
  EXPECT_THAT(client.until("0\r\n\r\n"), HasSubstr(R"("message":"does not fit")"));

  client.post("/api/chat", R"({"model":"tiny-chat","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_THAT(client.head(), HasSubstr("application/x-ndjson"));
  EXPECT_EQ(client.until("\r\n \r\n"), "1\r\n \r\n");  // one blank: white space before the first value
}

TEST_F(TaskAnswerTest, NamesModelTierAndTaskInHeaders) {
  start();
  auto client = connect();
  client.post("/v1/chat/completions", R"({"model":"auto","stream":true,"messages":[{"role":"user","content":"hi"}]})");
  auto response = client.response();
  EXPECT_EQ(response.header("X-Skep-Model"), "tiny-chat");
  EXPECT_EQ(response.header("X-Skep-Tier"), "fast");
  EXPECT_EQ(response.header("X-Skep-Task"), "1");
}

TEST_F(TaskAnswerTest, CancelsTheTaskOfAClientThatLeavesBeforeTheFirstToken) {
  leave_tasks_open();
  start();
  for (const char* body : {kChat, kChatStream}) {
    auto client = connect();
    client.post("/v1/chat/completions", body);
    wait_until([&] { return !backend.open.empty(); });
    client.leave();
    wait_until([&] { return backend.open.empty(); });
  }
  EXPECT_EQ(on_loop([&] { return backend.cancelled; }), (std::vector<agent::TaskId>{1, 2}));
  wait_until([&] { return server->connections() == 0; });
}

TEST_F(TaskAnswerTest, CancelsTheEmbeddingsOfAClientThatLeaves) {
  backend.embeds_never = true;
  start();
  for (auto [path, body] : {std::pair("/v1/embeddings", R"({"model":"org/tiny-embed","input":"a"})"),
                            std::pair("/api/embed", R"({"model":"org/tiny-embed","input":"a"})"),
                            std::pair("/api/embeddings", R"({"model":"org/tiny-embed","prompt":"a"})")}) {
    size_t before = on_loop([&] { return backend.cancelled_embeds.size(); });
    auto client = connect();
    client.post(path, body);
    wait_until([&] { return server->connections() == 1; });
    client.leave();
    wait_until([&] { return backend.cancelled_embeds.size() == before + 1; });
    wait_until([&] { return server->connections() == 0; });
  }
  EXPECT_EQ(on_loop([&] { return backend.cancelled_embeds; }), (std::vector<Backend::EmbedId>{1, 2, 3}));
}

TEST_F(TaskAnswerTest, CancelsTheTaskOfAClientThatLeavesInMidStream) {
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    backend.say(id, "first");
  };
  start();
  auto client = connect();
  client.post("/api/chat", R"({"model":"tiny-chat","messages":[{"role":"user","content":"hi"}]})");
  client.until("first");
  client.leave();
  wait_until([&] { return !backend.cancelled.empty(); });
  EXPECT_EQ(on_loop([&] { return backend.cancelled; }), std::vector<agent::TaskId>{1});
}

// Says a lot, one piece a step, for as long as it is not cancelled.
void talk(FakeBackend& backend, EventLoop& loop, agent::TaskId id, int pieces) {
  if (pieces == 0 || backend.open.count(id) == 0) return;
  backend.say(id, std::string(32 << 10, 'x'));
  loop.post([&backend, &loop, id, pieces] { talk(backend, loop, id, pieces - 1); });
}

TEST_F(TaskAnswerTest, CancelsTheTaskOfAClientThatDoesNotRead) {
  options.limits.unsent = 256_KiB;
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    talk(backend, loop, id, 4096);
  };
  start();
  RawClient client(port, 4096);
  client.post("/v1/chat/completions", kChatStream);
  wait_until([&] { return !backend.cancelled.empty(); });
  wait_until([&] { return server->connections() == 0; });
}

TEST_F(TaskAnswerTest, CancelsTheTaskOfAClientThatStallsAWrite) {
  options.limits.unsent = 64_MiB;
  options.limits.write_stall = std::chrono::milliseconds(20);
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    backend.say(id, std::string(16 << 20, 'x'));  // more than the kernel takes
  };
  start();
  RawClient client(port, 4096);
  client.post("/v1/chat/completions", kChatStream);
  wait_until([&] { return !backend.cancelled.empty(); });
}

TEST_F(TaskAnswerTest, AnswersSeveralChoicesAsOne) {
  start();
  auto client = connect();
  client.post("/v1/chat/completions", R"({"model":"tiny-chat","n":2,"messages":[{"role":"user","content":"hi"}]})");
  auto response = client.response();
  EXPECT_EQ(response.header("X-Skep-Task"), "1,2");
  EXPECT_THAT(response.body, HasSubstr(R"({"index":1,"message":{"role":"assistant","content":"You said: hi")"));
  EXPECT_THAT(response.body, HasSubstr(R"("prompt_tokens":11,"completion_tokens":6)"));
}

TEST_F(TaskAnswerTest, CancelsTheOtherChoicesWhenOneFails) {
  backend.script = [&](agent::TaskId id, FakeBackend::OpenTask&) {
    if (id == 2) backend.fail(id, {ErrorCode::overloaded, "full", ""});
  };
  start();
  auto client = connect();
  client.post("/v1/chat/completions", R"({"model":"tiny-chat","n":3,"messages":[{"role":"user","content":"hi"}]})");
  auto response = client.response();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.header("Retry-After"), "1");
  EXPECT_EQ(on_loop([&] { return backend.cancelled; }), (std::vector<agent::TaskId>{1, 3}));
}

TEST_F(TaskAnswerTest, EndsTheAnswerOfATaskThatSomebodyCancels) {
  leave_tasks_open();
  start();
  auto waiting = connect(), other = connect();
  waiting.post("/v1/chat/completions", kChat);
  wait_for_task(1);
  other.send("DELETE /api/tasks/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(other.response().status, 204);
  auto response = waiting.response();
  EXPECT_EQ(response.status, 499);
  EXPECT_THAT(response.body, HasSubstr("the task was cancelled by local"));
  other.send("DELETE /api/tasks/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(other.response().status, 404);
}

TEST_F(TaskAnswerTest, ServesTheNextRequestAfterAStream) {
  start();
  auto client = connect();
  for (int i = 0; i < 3; ++i) {
    client.post("/v1/chat/completions", kChatStream);
    EXPECT_THAT(client.response().body, EndsWith("data: [DONE]\n\n"));
  }
  EXPECT_EQ(on_loop([&] { return server->connections(); }), 1);
}

}  // namespace
}  // namespace skep::api::testing
