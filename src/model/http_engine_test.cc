#include "model/http_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>
#include <cstdlib>
#include <optional>

#include "model/fake_http_server.h"

namespace skep::model {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Request = FakeHttpServer::Request;
using Script = FakeHttpServer::Script;

struct Heard final : GenerationListener {
  void piece(engine::Piece piece) override {
    text += piece.text;
    if (auto call = on_piece) call();
  }
  void finished(const engine::Finished& how) override { end = how; }
  void failed(const Error& why) override { error = why; }
  [[nodiscard]] bool over() const { return end || error; }
  std::string text;
  std::optional<engine::Finished> end;
  std::optional<Error> error;
  std::function<void()> on_piece;
};

std::string word(const std::string& text) {
  return "data: {\"choices\":[{\"delta\":{\"content\":\"" + text + "\"}}]}\n\n";
}
const std::string kStop =
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

Script whole_answer() {
  return {FakeHttpServer::stream_head(), FakeHttpServer::chunk(word("one ")),
          FakeHttpServer::chunk(word("two") + kStop), FakeHttpServer::last_chunk()};
}

// Limits are short where a test waits for one, and generous elsewhere.
class HttpEngineTest : public ::testing::Test {
 protected:
  HttpEngineTest() {
    options_.url = server_.url();
    options_.first_backoff = 10ms;
    options_.health_interval = options_.health_timeout = options_.client.connect = 60s;
    // An OpenAI-compatible server whose generations are answered by `on_generate`.
    server_.answer = [this](const Request& request) -> Script {
      if (request.target == "/v1/models") return {FakeHttpServer::reply(200, R"({"data":[]})")};
      if (request.target == "/v1/chat/completions") return on_generate(request);
      return {};
    };
  }
  ~HttpEngineTest() override {
    engine_.reset();
    factory_.reset();
  }
  bool run_until(const std::function<bool()>& done, Duration most = 30s) {
    auto deadline = std::chrono::steady_clock::now() + most;
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.context().restart();
      loop_.context().run_one_for(10ms);
    }
    return true;
  }
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }
  Status start() {
    auto factory = HttpFactory::create(loop_, options_);
    if (!factory) return fail(factory.error());
    factory_ = std::move(*factory);
    std::optional<Status> answer;
    factory_->start({.path = "remote-model"}, [&](auto result) {
      answer = Status();
      if (!result)
        answer = fail(result.error());
      else
        engine_ = std::move(*result);
    });
    EXPECT_FALSE(answer) << "answered from inside the call";
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    if (engine_) engine_->on_death([this](const Error& error) { death_ = error; });
    return answer.value_or(fail(ErrorCode::deadline_exceeded, "no answer"));
  }
  static engine::Generate ask(const std::string& text = "hi") { return {.messages = {{"user", text}}}; }
  Heard generate() {
    Heard heard;
    engine_->generate(ask(), heard);
    EXPECT_TRUE(run_until([&] { return heard.over(); }));
    return heard;
  }
  [[nodiscard]] int generations() const {
    return static_cast<int>(std::ranges::count(server_.requests, "/v1/chat/completions", &Request::target));
  }

  AsioEventLoop loop_;
  FakeHttpServer server_{loop_};
  HttpEngineOptions options_;
  std::function<Script(const Request&)> on_generate = [](const Request&) { return whole_answer(); };
  std::unique_ptr<HttpFactory> factory_;
  std::unique_ptr<Engine> engine_;
  std::optional<Error> death_;
};

TEST_F(HttpEngineTest, StreamsAnAnswer) {
  on_generate = [](const Request&) -> Script {
    Script script = whole_answer();
    script.insert(script.begin() + 2, FakeHttpServer::pause(10s));
    return script;
  };
  ASSERT_TRUE(start());
  Heard heard;
  engine_->generate(ask(), heard);
  EXPECT_TRUE(run_until([&] { return heard.text == "one "; })) << "the first piece waits for the second";
  EXPECT_EQ(engine_->heartbeat().generating, 1);
  on_generate = [](const Request&) { return whole_answer(); };
  Heard other = generate();
  EXPECT_EQ(other.text, "one two");
  ASSERT_TRUE(other.end);
  EXPECT_EQ(other.end->usage.prompt_tokens, 3);
  EXPECT_EQ(other.end->usage.completion_tokens, 2);
  boost::json::value body = boost::json::parse(server_.requests.back().body);
  EXPECT_EQ(body.at("model").as_string(), "remote-model");
}

TEST_F(HttpEngineTest, KeepsConnectionsAlive) {
  ASSERT_TRUE(start());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(generate().end);
  EXPECT_EQ(server_.accepted, 1);
}

TEST_F(HttpEngineTest, ReplacesAConnectionThatTheServerClosedMeanwhile) {
  options_.retries = 0;
  ASSERT_TRUE(start());
  EXPECT_TRUE(generate().end);
  server_.close_connections();
  EXPECT_TRUE(generate().end) << "an idle connection's end is no failure";
  EXPECT_EQ(server_.accepted, 2);
}

TEST_F(HttpEngineTest, TriesAgainAsLongAsNothingWasSaid) {
  int tries = 0;
  on_generate = [&](const Request&) -> Script {
    switch (++tries) {
      case 1:
        return {FakeHttpServer::reply(503, R"({"error":{"message":"busy"}})")};
      case 2:
        return {FakeHttpServer::stream_head(), FakeHttpServer::close()};
      default:
        return whole_answer();
    }
  };
  ASSERT_TRUE(start());
  Heard heard = generate();
  EXPECT_EQ(heard.text, "one two");
  EXPECT_EQ(tries, 3);
}

TEST_F(HttpEngineTest, GivesUpWithWhatTheServerSaid) {
  on_generate = [](const Request&) -> Script { return {FakeHttpServer::reply(500, R"({"error":"no GPU"})")}; };
  ASSERT_TRUE(start());
  Heard heard = generate();
  EXPECT_EQ(heard.error->code, ErrorCode::unavailable);
  EXPECT_THAT(heard.error->message, HasSubstr("answered 500: no GPU"));
  EXPECT_EQ(generations(), 3) << "the first and two more";
}

TEST_F(HttpEngineTest, NeverRepeatsWhatWasPassedOn) {
  on_generate = [](const Request&) -> Script {
    return {FakeHttpServer::stream_head(), FakeHttpServer::chunk(word("half")), FakeHttpServer::close()};
  };
  ASSERT_TRUE(start());
  Heard heard = generate();
  EXPECT_EQ(heard.text, "half");
  EXPECT_EQ(heard.error->code, ErrorCode::unavailable);
  EXPECT_EQ(generations(), 1);
}

TEST_F(HttpEngineTest, TheCallersMistakesAreNotTriedAgain) {
  on_generate = [](const Request&) -> Script { return {FakeHttpServer::reply(400, R"({"error":"too long"})")}; };
  ASSERT_TRUE(start());
  EXPECT_EQ(generate().error->code, ErrorCode::invalid_argument);
  EXPECT_EQ(generations(), 1);
}

TEST_F(HttpEngineTest, WaitsAsLongAsTheServerAsksForButNotForEver) {
  int tries = 0;
  on_generate = [&](const Request&) -> Script {
    if (++tries == 1) return {FakeHttpServer::reply(429, "{}", "Retry-After: 1\r\n")};
    return whole_answer();
  };
  ASSERT_TRUE(start());
  auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(generate().end);
  EXPECT_GE(std::chrono::steady_clock::now() - began, 1s);
  on_generate = [](const Request&) -> Script { return {FakeHttpServer::reply(429, "{}", "Retry-After: 600\r\n")}; };
  EXPECT_EQ(generate().error->code, ErrorCode::overloaded);
}

TEST_F(HttpEngineTest, AStalledAnswerEnds) {
  options_.client.between_bytes = 200ms;
  on_generate = [](const Request&) -> Script {
    return {FakeHttpServer::stream_head(), FakeHttpServer::chunk(word("x")), FakeHttpServer::pause(60s)};
  };
  ASSERT_TRUE(start());
  Heard heard = generate();
  EXPECT_EQ(heard.error->code, ErrorCode::unavailable);
  EXPECT_THAT(heard.error->message, HasSubstr("no answer within 0.2 s"));
}

TEST_F(HttpEngineTest, GarbageIsAnError) {
  for (const char* garbage : {"data: <html>\n\n", "data: {\"choices\":7}\n\n\xff\xfe", "\r\r\n\n"}) {
    on_generate = [garbage](const Request&) -> Script {
      return {FakeHttpServer::stream_head(), FakeHttpServer::chunk(garbage), FakeHttpServer::last_chunk()};
    };
    ASSERT_TRUE(engine_ || start());
    EXPECT_TRUE(generate().error) << garbage;
  }
  on_generate = [](const Request&) -> Script {
    return {FakeHttpServer::send("SMTP 220 hello\r\n\r\n"), FakeHttpServer::close()};
  };
  EXPECT_EQ(generate().error->code, ErrorCode::unavailable);
  on_generate = [](const Request&) { return whole_answer(); };
  EXPECT_TRUE(generate().end) << "and the next one is not harmed";
}

TEST_F(HttpEngineTest, CancellingClosesTheConnection) {
  on_generate = [](const Request&) -> Script {
    return {FakeHttpServer::stream_head(), FakeHttpServer::chunk(word("x")), FakeHttpServer::pause(60s)};
  };
  ASSERT_TRUE(start());
  Heard heard;
  auto id = engine_->generate(ask(), heard);
  ASSERT_TRUE(run_until([&] { return heard.text == "x"; }));
  EXPECT_EQ(server_.answering, 1);
  engine_->cancel(id);
  engine_->cancel(id);
  EXPECT_TRUE(run_until([&] { return server_.answering == 0; })) << "the server goes on generating";
  EXPECT_FALSE(heard.over());
}

TEST_F(HttpEngineTest, DestroyingTheEngineInACallbackIsFine) {
  on_generate = [](const Request&) -> Script {
    return {FakeHttpServer::stream_head(), FakeHttpServer::chunk(word("x") + word("y")), FakeHttpServer::pause(60s)};
  };
  ASSERT_TRUE(start());
  Heard heard;
  heard.on_piece = [&] { engine_.reset(); };
  engine_->generate(ask(), heard);
  ASSERT_TRUE(run_until([&] { return !engine_; }));
  run_for(50ms);
  EXPECT_EQ(heard.text, "x");
  EXPECT_FALSE(heard.over());
}

TEST_F(HttpEngineTest, SendsTheKeyAndNeverTellsIt) {
  ::setenv("SKEP_TEST_KEY", "s3cret", 1);
  options_.api_key_env = "SKEP_TEST_KEY";
  on_generate = [](const Request&) -> Script { return {FakeHttpServer::reply(401, R"({"error":"bad key"})")}; };
  ASSERT_TRUE(start());
  Heard heard = generate();
  EXPECT_EQ(server_.requests.back().authorization, "Bearer s3cret");
  EXPECT_THAT(heard.error->text(), HasSubstr("$SKEP_TEST_KEY"));
  EXPECT_THAT(heard.error->text(), Not(HasSubstr("s3cret")));
  options_.api_key_env = "SKEP_TEST_NO_SUCH_KEY";
  EXPECT_THAT(HttpFactory::create(loop_, options_).error().message,
              HasSubstr("$SKEP_TEST_NO_SUCH_KEY, which is not set"));
}

TEST_F(HttpEngineTest, SendsNoMoreAtOnceThanThereAreSlots) {
  options_.slots = 3;
  on_generate = [](const Request&) {
    Script script = whole_answer();
    script.insert(script.begin(), FakeHttpServer::pause(20ms));
    return script;
  };
  ASSERT_TRUE(start());
  std::vector<Heard> heard(12);
  for (Heard& each : heard) engine_->generate(ask(), each);
  ASSERT_TRUE(run_until([&] { return std::ranges::all_of(heard, &Heard::over); }));
  EXPECT_EQ(server_.most_answering, 3);
  EXPECT_TRUE(std::ranges::all_of(heard, [](const Heard& each) { return each.end.has_value(); }));
}

TEST_F(HttpEngineTest, AWindowCollectsAndSendsTogetherWhatSharesABeginning) {
  options_.slots = 1;
  options_.window = 100ms;
  options_.window_size = 5;
  ASSERT_TRUE(start());
  std::vector<Heard> heard(5);
  const char* texts[] = {"a", "b", "a", "b", "a"};
  for (int i = 0; i < 4; ++i) engine_->generate(ask(texts[i]), heard[i]);
  run_for(30ms);
  EXPECT_EQ(generations(), 0) << "the window is open";
  engine_->generate(ask(texts[4]), heard[4]);
  ASSERT_TRUE(run_until([&] { return std::ranges::all_of(heard, &Heard::over); })) << "the fifth closes it";
  std::vector<std::string> order;
  for (const Request& request : server_.requests) {
    if (request.target != "/v1/chat/completions") continue;
    order.emplace_back(boost::json::parse(request.body).at("messages").at(0).at("content").as_string());
  }
  EXPECT_THAT(order, ElementsAre("a", "a", "a", "b", "b"));
  Heard alone;
  engine_->generate(ask(), alone);
  EXPECT_TRUE(run_until([&] { return alone.over(); })) << "its time closes it";
}

TEST_F(HttpEngineTest, DiesWhenTheServerFailsItsHealthChecks) {
  options_.health_interval = 20ms;
  options_.health_timeout = 5s;
  on_generate = [](const Request&) -> Script { return {FakeHttpServer::stream_head(), FakeHttpServer::pause(60s)}; };
  ASSERT_TRUE(start());
  Heard heard;
  engine_->generate(ask(), heard);
  run_for(200ms);
  EXPECT_FALSE(death_) << "it answers";
  server_.answer = [](const Request&) -> Script { return {FakeHttpServer::reply(502, "{}")}; };
  ASSERT_TRUE(run_until([&] { return death_.has_value(); }));
  EXPECT_THAT(death_->message, HasSubstr("failed 3 health checks in a row; last: answered 502"));
  EXPECT_TRUE(heard.error);
}

TEST_F(HttpEngineTest, DiesWhenTheServerNoLongerAnswersAtAll) {
  options_.health_interval = 20ms;
  options_.health_timeout = 50ms;
  ASSERT_TRUE(start());
  server_.answer = [](const Request&) -> Script { return {FakeHttpServer::pause(60s)}; };
  ASSERT_TRUE(run_until([&] { return death_.has_value(); }));
  EXPECT_THAT(death_->message, HasSubstr("no answer within"));
}

TEST_F(HttpEngineTest, AServerThatIsNotThereIsUnavailable) {
  options_.url = "http://127.0.0.1:1";
  Status status = start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
  EXPECT_THAT(status.error().message, HasSubstr("http://127.0.0.1:1: connecting"));
}

TEST_F(HttpEngineTest, FindsOutWhatAServerSpeaks) {
  server_.answer = [](const Request& request) -> Script {
    if (request.target == "/props")
      return {FakeHttpServer::reply(200, R"({"default_generation_settings":{"n_ctx":2048},"total_slots":6})")};
    if (request.target == "/tokenize") return {FakeHttpServer::reply(200, R"({"tokens":[1,2,3]})")};
    if (request.target == "/apply-template") return {FakeHttpServer::reply(200, R"({"prompt":"<hi>"})")};
    return {};
  };
  ASSERT_TRUE(start());
  EXPECT_EQ(engine_->loaded().chat_template, "llama-server");
  EXPECT_EQ(engine_->loaded().context_tokens, 2048);
  EXPECT_EQ(engine_->slots(), 6);
  std::optional<engine::Tokens> tokens;
  engine_->tokenize({.messages = {{"user", "hi"}}}, [&](auto result) { tokens = result.value(); });
  ASSERT_TRUE(run_until([&] { return tokens.has_value(); }));
  EXPECT_EQ(tokens->tokens.size(), 3U);
  EXPECT_THAT(server_.requests.back().body, HasSubstr("<hi>"));

  server_.answer = [](const Request& request) -> Script {
    if (request.target == "/api/version") return {FakeHttpServer::reply(200, R"({"version":"0.5.1"})")};
    return {};
  };
  ASSERT_TRUE(start());
  EXPECT_EQ(engine_->loaded().chat_template, "ollama");

  server_.answer = nullptr;
  EXPECT_THAT(start().error().message, HasSubstr("neither the OpenAI nor the Ollama API"));
  server_.answer = [](const Request&) -> Script {
    return {FakeHttpServer::reply(503, R"({"error":{"message":"Loading model"}})")};
  };
  EXPECT_THAT(start().error().message, HasSubstr("Loading model"));
}

TEST_F(HttpEngineTest, Embeds) {
  ASSERT_TRUE(start());
  server_.answer = [](const Request&) -> Script {
    return {FakeHttpServer::reply(200, R"({"data":[{"index":0,"embedding":[3,4]}],"usage":{"prompt_tokens":2}})")};
  };
  std::optional<engine::Embeddings> embeddings;
  engine_->embed({.inputs = {"x"}}, [&](auto result) { embeddings = result.value(); });
  ASSERT_TRUE(run_until([&] { return embeddings.has_value(); }));
  EXPECT_FLOAT_EQ(embeddings->vectors[0][1], 0.8F);
}

TEST_F(HttpEngineTest, CancelledEmbeddingsAreCutAndNotHeardOf) {
  ASSERT_TRUE(start());
  int asked = 0;
  server_.answer = [&](const Request&) -> Script {
    if (++asked == 1) return {FakeHttpServer::pause(60s)};
    return {FakeHttpServer::reply(200, R"({"data":[{"index":0,"embedding":[3,4]}],"usage":{"prompt_tokens":2}})")};
  };
  auto first = engine_->embed({.inputs = {"x"}}, [](auto) { ADD_FAILURE() << "was cancelled"; });
  ASSERT_TRUE(run_until([&] { return asked == 1; }));
  engine_->cancel(first);
  bool answered = false;
  engine_->embed({.inputs = {"x"}}, [&](auto result) { answered = result.has_value(); });
  EXPECT_TRUE(run_until([&] { return answered; }));
}

TEST_F(HttpEngineTest, StopsWithoutAWord) {
  on_generate = [](const Request&) -> Script { return {FakeHttpServer::stream_head(), FakeHttpServer::pause(60s)}; };
  ASSERT_TRUE(start());
  Heard heard;
  engine_->generate(ask(), heard);
  run_for(30ms);
  bool gone = false;
  engine_->stop([&] { gone = true; });
  EXPECT_TRUE(heard.error);
  EXPECT_FALSE(gone);
  EXPECT_TRUE(run_until([&] { return gone; }));
  EXPECT_FALSE(death_);
}

TEST(HttpUrlTest, TakesWhatIsAnAddressAndRefusesTheRest) {
  EXPECT_EQ(parse_url("http://localhost:8080")->text(), "http://localhost:8080");
  EXPECT_EQ(parse_url("https://api.example.com/openai/")->text(), "https://api.example.com:443/openai");
  EXPECT_EQ(parse_url("http://[::1]:99/x")->host, "::1");
  EXPECT_EQ(parse_url("http://[::1]:99/x")->text(), "http://[::1]:99/x");
  for (const char* bad : {"", "localhost:80", "ftp://x", "http://", "http://:80", "http://x:0", "http://x:99999",
                          "http://x:8a", "http://u@x", "http://x/?q", "http://x y", "http://[::1", "http://x/\r\nA: b"})
    EXPECT_FALSE(parse_url(bad)) << bad;
}

}  // namespace
}  // namespace skep::model
