// Over real sockets: the API server in front of a scripted backend, and the client on a loop of its own.

#include "cli/run/remote_tasks.h"

#include <gmock/gmock.h>

#include <boost/asio/io_context.hpp>

#include "api/testing/server_fixture.h"

namespace skep::cli {
namespace {

using api::testing::FakeBackend;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

struct Heard final : agent::TaskListener {
  void started(const agent::TaskStarted& how) override { start = how; }
  void delta(const language::Delta& delta) override { text += delta.content; }
  void finished(const agent::TaskResult& r) override { result = r; }
  void failed(const agent::TaskFailure& f) override { failure = f; }
  [[nodiscard]] bool over() const { return result || failure; }

  std::optional<agent::TaskStarted> start;
  std::string text;
  std::optional<agent::TaskResult> result;
  std::optional<agent::TaskFailure> failure;
};

class RemoteTasksTest : public api::testing::ServerFixture {
 protected:
  std::unique_ptr<RemoteTasks> remote(Duration patience = 30s, uint16_t to = 0) {
    auto made = RemoteTasks::make(here_, fmt::format("http://127.0.0.1:{}", to == 0 ? port : to), "", 8, patience);
    EXPECT_TRUE(made) << made.error().text();
    return std::move(*made);
  }
  template <typename Condition>
  bool run_until(Condition condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) {
      here_.context().restart();
      here_.context().run_one_for(10ms);
    }
    return condition();
  }
  static agent::TaskRequest ask(const std::string& text = "hello") {
    agent::TaskRequest request;
    request.model = "tiny-chat";
    request.input.messages.push_back({"user", text, {}, {}, {}, {}});
    return request;
  }

  AsioEventLoop here_;
};

TEST_F(RemoteTasksTest, ATaskIsDoneThere) {
  start();
  auto tasks = remote();
  auto heard = std::make_shared<Heard>();
  tasks->submit(ask("one two"), heard);
  ASSERT_TRUE(run_until([&] { return heard->over(); }));
  ASSERT_TRUE(heard->result) << heard->failure->error.text();
  EXPECT_EQ(heard->start->route.model, "tiny-chat");
  EXPECT_EQ(heard->result->message.content, heard->text);
  EXPECT_THAT(heard->text, HasSubstr("one two"));
}

TEST_F(RemoteTasksTest, AFailureKeepsItsCodeAndWhenToComeBack) {
  backend.script = [this](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.fail(id, {ErrorCode::quota_exhausted, "too many", ""}, 7s);
  };
  start();
  auto tasks = remote();
  auto heard = std::make_shared<Heard>();
  tasks->submit(ask(), heard);
  ASSERT_TRUE(run_until([&] { return heard->over(); }));
  EXPECT_EQ(heard->failure->error.code, ErrorCode::quota_exhausted);
  EXPECT_EQ(heard->failure->retry_after, Duration(7s));
}

TEST_F(RemoteTasksTest, AFailureInMidStreamIsOneToo) {
  backend.script = [this](agent::TaskId id, FakeBackend::OpenTask&) {
    backend.start(id);
    backend.say(id, "half");
    backend.fail(id, {ErrorCode::unavailable, "the engine died", ""});
  };
  start();
  auto tasks = remote();
  auto heard = std::make_shared<Heard>();
  tasks->submit(ask(), heard);
  ASSERT_TRUE(run_until([&] { return heard->over(); }));
  EXPECT_EQ(heard->text, "half");
  EXPECT_EQ(heard->failure->error.code, ErrorCode::unavailable);
}

TEST_F(RemoteTasksTest, CancellingEndsTheTaskThere) {
  backend.script = [](agent::TaskId, FakeBackend::OpenTask&) {};
  start();
  auto tasks = remote();
  auto heard = std::make_shared<Heard>();
  auto id = tasks->submit(ask(), heard);
  ASSERT_TRUE(run_until([&] { return on_loop([&] { return backend.open.size(); }) == 1; }));
  tasks->cancel(id);
  tasks->cancel(id);
  ASSERT_TRUE(run_until([&] { return on_loop([&] { return backend.cancelled.size(); }) == 1; }));
  EXPECT_FALSE(heard->over());
}

TEST_F(RemoteTasksTest, KnowsWhatTheDaemonHas) {
  start();
  auto tasks = remote();
  Status there = fail(ErrorCode::internal, "not asked");
  bool answered = false;
  tasks->begin([&](Status status) {
    there = std::move(status);
    answered = true;
  });
  ASSERT_TRUE(run_until([&] { return answered; }));
  EXPECT_TRUE(there) << there.error().text();
  EXPECT_EQ(tasks->resources().budget, on_loop([&] { return backend.resources().budget; }));
}

TEST_F(RemoteTasksTest, ADaemonThatIsNotThereIsSaidToBe) {
  start();
  auto tasks = remote(30s, 1);
  std::optional<Status> there;
  tasks->begin([&](Status status) { there = std::move(status); });
  ASSERT_TRUE(run_until([&] { return there.has_value(); }));
  ASSERT_FALSE(*there);
  EXPECT_EQ(there->error().code, ErrorCode::unavailable);
  EXPECT_THAT(there->error().text(), AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("skep serve")));
}

TEST_F(RemoteTasksTest, ADaemonThatGoesAwayCostsNoTaskAndIsLostInTheEnd) {
  backend.script = [](agent::TaskId, FakeBackend::OpenTask&) {};
  start();
  auto tasks = remote(0s);
  std::optional<Error> lost;
  tasks->on_lost([&](const Error& error) { lost = error; });
  bool there = false;
  tasks->begin([&](const Status& status) { there = status.has_value(); });
  auto heard = std::make_shared<Heard>();
  tasks->submit(ask(), heard);
  ASSERT_TRUE(run_until([&] { return there && on_loop([&] { return backend.open.size(); }) == 1; }));
  on_loop([&] { server.reset(); });
  ASSERT_TRUE(run_until([&] { return heard->over() && lost; }));
  EXPECT_EQ(heard->failure->error.code, ErrorCode::overloaded) << "it is to be offered again";
  EXPECT_TRUE(heard->failure->retry_after);
  EXPECT_EQ(lost->code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace skep::cli
