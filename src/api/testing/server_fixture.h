#pragma once
// An ApiServer over a FakeBackend, on a loop that runs in a thread of its own, for tests over real sockets.

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <thread>
#include <type_traits>

#include "api/api_server.h"
#include "api/testing/fake_backend.h"
#include "api/testing/raw_client.h"

namespace skep::api::testing {

class ServerFixture : public ::testing::Test {
 protected:
  ~ServerFixture() override {
    if (!thread_.joinable()) return;
    on_loop([&] { server.reset(); });
    loop.stop();
    thread_.join();
  }

  // Call once, after setting options and script.
  void start() {
    server = std::make_unique<ApiServer>(loop, backend, options);
    auto started = server->start();
    ASSERT_TRUE(started.has_value()) << started.error().text();
    port = *started;
    thread_ = std::thread([this] { loop.run(); });
  }

  // Runs `work` on the loop and returns what it returns.
  template <typename Work>
  std::invoke_result_t<Work&> on_loop(Work work) {
    std::promise<decltype(work())> done;
    loop.post([&] {
      if constexpr (std::is_void_v<decltype(work())>) {
        work();
        done.set_value();
      } else {
        done.set_value(work());
      }
    });
    return done.get_future().get();
  }

  // Until `condition`, asked on the loop, holds. The test's own time limit ends what never comes true.
  template <typename Condition>
  void wait_until(Condition condition) {
    while (!on_loop(condition)) std::this_thread::yield();
  }

  RawClient connect() { return RawClient(port); }

  AsioEventLoop loop;
  FakeBackend backend{loop};
  ServerOptions options = [] {
    ServerOptions o;
    o.port = 0;
    o.limits.sweep = std::chrono::milliseconds(5);
    return o;
  }();
  std::unique_ptr<ApiServer> server;
  uint16_t port = 0;

 private:
  std::thread thread_;
};

inline const char* const kChat = R"({"model":"tiny-chat","messages":[{"role":"user","content":"hi"}]})";
inline const char* const kChatStream =
    R"({"model":"tiny-chat","stream":true,"messages":[{"role":"user","content":"hi"}]})";

}  // namespace skep::api::testing
