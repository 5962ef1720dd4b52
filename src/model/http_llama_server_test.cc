// The HTTP engine against the real llama-server, with a small model of random weights.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <optional>

#include "engine/synth/synth.h"
#include "engine/worker_environment.h"
#include "model/child_process.h"
#include "model/http_engine.h"

namespace skep::model {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

struct Heard final : GenerationListener {
  void piece(engine::Piece piece) override {
    text += piece.text;
    ++pieces;
  }
  void finished(const engine::Finished& how) override { end = how; }
  void failed(const Error& why) override { error = why; }
  [[nodiscard]] bool over() const { return end || error; }
  std::string text;
  int pieces = 0;
  std::optional<engine::Finished> end;
  std::optional<Error> error;
};

class LlamaServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(SKEP_LLAMA_SERVER)) GTEST_SKIP() << "no llama-server in the runtime prefix";
    folder_ = std::filesystem::path(::testing::TempDir()) / fmt::format("skep_llama_server_{}", ::getpid());
    std::filesystem::create_directories(folder_);
    std::string model = (folder_ / "small.gguf").string();
    Status made = synth::synthesize({.shape = *synth::find_shape("tiny"), .path = model, .threads = 2});
    if (!made) GTEST_SKIP() << "no model could be made: " << made.error().text();
    asio::ip::tcp::acceptor free_port(loop_.context(), {asio::ip::address_v4::loopback(), 0});
    std::string port = std::to_string(free_port.local_endpoint().port());
    free_port.close();
    auto server = ChildProcess::start(loop_,
                                      {.executable = SKEP_LLAMA_SERVER,
                                       .arguments = {"-m", model, "--host", "127.0.0.1", "--port", port, "-c", "2048",
                                                     "-np", "4", "-t", "1", "--no-webui", "--no-warmup"},
                                       // Its threads spin at their barriers; other tests run beside this one.
                                       .environment = engine::worker_environment()},
                                      [this](const ChildExit& how) { ended_ = how.text(); });
    ASSERT_TRUE(server) << server.error().text();
    server_ = std::move(*server);
    factory_ = HttpFactory::create(loop_, {.url = "http://127.0.0.1:" + port}).value();
    // It answers 503 while it loads, and nothing before: that is the residency's business, so here we ask again.
    for (int attempt = 0; attempt < 600 && !engine_ && !ended_; ++attempt) {
      std::optional<Result<std::unique_ptr<Engine>>> answer;
      factory_->start({.path = "small"}, [&](auto result) { answer = std::move(result); });
      ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
      if (*answer)
        engine_ = std::move(**answer);
      else
        run_until([] { return false; }, 100ms);
    }
    ASSERT_TRUE(engine_) << ended_.value_or("still loads") << ": " << server_->last_output();
  }
  void TearDown() override {
    engine_.reset();
    factory_.reset();
    server_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  bool run_until(const std::function<bool()>& done, Duration most = 180s) {
    auto deadline = std::chrono::steady_clock::now() + most;
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.context().restart();
      loop_.context().run_one_for(10ms);
    }
    return true;
  }

  AsioEventLoop loop_;
  std::filesystem::path folder_;
  std::unique_ptr<ChildProcess> server_;
  std::optional<std::string> ended_;
  std::unique_ptr<HttpFactory> factory_;
  std::unique_ptr<Engine> engine_;
};

// One server for all, because it takes a while to start.
TEST_F(LlamaServerTest, GeneratesStreamsConstrainsCancelsAndTokenizes) {
  EXPECT_EQ(engine_->loaded().chat_template, "llama-server");
  EXPECT_EQ(engine_->slots(), 4);
  EXPECT_GT(engine_->loaded().context_tokens, 0);

  std::vector<Heard> heard(8);
  for (Heard& each : heard)
    engine_->generate({.messages = {{"user", "Say something."}}, .max_tokens = 12, .ignore_eos = true}, each);
  ASSERT_TRUE(run_until([&] { return std::ranges::all_of(heard, &Heard::over); }));
  for (Heard& each : heard) {
    ASSERT_TRUE(each.end) << each.error->text();
    EXPECT_EQ(each.end->reason, engine::FinishReason::length);
    EXPECT_EQ(each.end->usage.completion_tokens, 12);
    EXPECT_GT(each.end->usage.prompt_tokens, 0);
    EXPECT_GT(each.pieces, 1) << "it streams";
    EXPECT_EQ(each.text, heard.front().text) << "greedy";
  }

  Heard constrained;
  engine_->generate({.messages = {{"user", "Yes or no?"}}, .grammar = "root ::= \"yes\" | \"no\""}, constrained);
  ASSERT_TRUE(run_until([&] { return constrained.over(); }));
  ASSERT_TRUE(constrained.end) << constrained.error->text();
  EXPECT_THAT(constrained.text, ::testing::AnyOf("yes", "no"));

  Heard raw;
  engine_->generate({.prompt = "Once upon", .max_tokens = 4, .ignore_eos = true}, raw);
  ASSERT_TRUE(run_until([&] { return raw.over(); }));
  EXPECT_TRUE(raw.end) << raw.error->text();

  Heard refused;
  engine_->generate({.messages = {{"user", "x"}}, .grammar = "root ::= ("}, refused);
  ASSERT_TRUE(run_until([&] { return refused.over(); }));
  EXPECT_EQ(refused.error->code, ErrorCode::invalid_argument) << refused.error->text();

  Heard cancelled;
  auto id = engine_->generate({.messages = {{"user", "x"}}, .max_tokens = 1500, .ignore_eos = true}, cancelled);
  ASSERT_TRUE(run_until([&] { return cancelled.pieces > 2; }));
  engine_->cancel(id);

  std::optional<Result<engine::Tokens>> tokens;
  engine_->tokenize({.messages = {{"user", "hello"}}}, [&](auto result) { tokens = std::move(result); });
  ASSERT_TRUE(run_until([&] { return tokens.has_value(); }));
  ASSERT_TRUE(*tokens) << tokens->error().text();
  EXPECT_GT((*tokens)->tokens.size(), 1U);
  EXPECT_FALSE(cancelled.over());
}

}  // namespace
}  // namespace skep::model
