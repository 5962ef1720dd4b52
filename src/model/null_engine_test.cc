#include "model/null_engine.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/simulated_event_loop.h"

namespace skep::model {
namespace {

using namespace std::chrono_literals;

struct Heard final : GenerationListener {
  void piece(engine::Piece piece) override { text += piece.text; }
  void finished(const engine::Finished& how) override { end = how; }
  void failed(const Error& why) override { error = why; }
  std::string text;
  std::optional<engine::Finished> end;
  std::optional<Error> error;
};

class NullEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> start(NullEngineOptions options) {
    factory_ = std::make_unique<NullFactory>(loop_, options);
    std::unique_ptr<Engine> engine;
    factory_->start({}, [&](auto result) { engine = std::move(*result); });
    loop_.run_ready();
    return engine;
  }
  SimulatedEventLoop loop_;
  std::unique_ptr<NullFactory> factory_;
};

TEST_F(NullEngineTest, AnswersAtOnceButNotFromInsideTheCall) {
  auto engine = start({.tokens = 3});
  Heard heard;
  engine->generate({.prompt = "two words"}, heard);
  EXPECT_TRUE(heard.text.empty());
  loop_.run_ready();
  EXPECT_EQ(heard.text, "word word word ");
  EXPECT_EQ(heard.end->usage.completion_tokens, 3);
  EXPECT_EQ(heard.end->usage.prompt_tokens, 2);
}

TEST_F(NullEngineTest, KeepsToItsDelaysAndToMaxTokens) {
  auto engine = start({.tokens = 5, .first = 1s, .each = 100ms});
  Heard heard;
  engine->generate({.max_tokens = 3}, heard);
  loop_.advance(999ms);
  EXPECT_EQ(heard.text, "");
  loop_.advance(101ms);
  EXPECT_EQ(heard.text, "word word ");
  loop_.advance(1s);
  EXPECT_EQ(heard.end->usage.completion_tokens, 3);
  EXPECT_EQ(heard.end->decode, 1300ms);
}

TEST_F(NullEngineTest, CancelsAndStops) {
  auto engine = start({.first = 1s});
  Heard cancelled, stopped;
  engine->cancel(engine->generate({}, cancelled));
  engine->generate({}, stopped);
  bool gone = false;
  engine->stop([&] { gone = true; });
  loop_.advance(5s);
  EXPECT_FALSE(cancelled.end || cancelled.error);
  EXPECT_EQ(stopped.error->code, ErrorCode::unavailable);
  EXPECT_TRUE(gone);
}

}  // namespace
}  // namespace skep::model
