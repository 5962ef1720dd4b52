#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "api/wire/ollama_context.h"
#include "api/wire/ollama_embed.h"
#include "api/wire/ollama_format.h"
#include "api/wire/ollama_models.h"
#include "api/wire/ollama_request.h"
#include "api/wire/ollama_time.h"

namespace skep::api::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HttpRequest request(std::string body) {
  HttpRequest result;
  result.body = std::move(body);
  return result;
}

TEST(OllamaRequest, ReadsChatsAndStreamsByDefault) {
  auto parsed = parse_ollama_chat(request(R"({
    "model": "m", "keep_alive": "1m30s", "think": "low", "format": {"type": "object"},
    "options": {"temperature": 0.1, "num_predict": 12, "num_ctx": 512, "seed": 7, "stop": ["x", ""], "mirostat": 1},
    "messages": [
      {"role": "user", "content": "a"},
      {"role": "assistant", "content": "", "tool_calls": [
        {"function": {"name": "look", "arguments": {"x": 1}}}, {"function": {"name": "hear", "arguments": {}}}]},
      {"role": "tool", "content": "noise", "tool_name": "hear"},
      {"role": "tool", "content": "light"}],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]})"));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.text();
  EXPECT_TRUE(parsed->stream);
  EXPECT_FALSE(parsed->load_only);
  EXPECT_EQ(parsed->keep_alive, std::chrono::seconds(90));
  const auto& input = parsed->tasks.at(0).input;
  EXPECT_EQ(input.think, true);
  EXPECT_EQ(input.format.schema, R"({"type":"object"})");
  EXPECT_EQ(input.overrides.temperature, 0.1F);
  EXPECT_EQ(input.overrides.max_tokens, 12);
  EXPECT_EQ(input.overrides.context_tokens, 512);
  EXPECT_EQ(input.overrides.seed, 7U);
  EXPECT_THAT(input.stop, ElementsAre("x"));
  EXPECT_THAT(input.messages[1].tool_calls, ElementsAre(language::ToolCall{"call_0", "look", R"({"x":1})"},
                                                        language::ToolCall{"call_1", "hear", "{}"}));
  EXPECT_EQ(input.messages[2].tool_call_id, "call_1");
  EXPECT_EQ(input.messages[3].tool_call_id, "call_0");
  EXPECT_EQ(input.messages[3].name, "look");
}

TEST(OllamaRequest, LoadsAModelWhenNothingIsAsked) {
  EXPECT_TRUE(parse_ollama_chat(request(R"({"model":"m"})"))->load_only);
  EXPECT_TRUE(parse_ollama_chat(request(R"({"model":"m","messages":[]})"))->load_only);
  auto unload = parse_ollama_generate(request(R"({"model":"m","keep_alive":0})"));
  EXPECT_TRUE(unload->load_only);
  EXPECT_EQ(unload->keep_alive, Duration::zero());
}

TEST(OllamaRequest, GoesOnWithTheContextOfAnEarlierAnswer) {
  language::Message user, assistant;
  user.role = "user";
  user.content = "söme question";
  assistant.role = "assistant";
  assistant.content = "an answer";
  std::string context = boost::json::serialize(ollama_context({user, assistant}));
  auto parsed = parse_ollama_generate(
      request(R"({"model":"m","system":"Be brief.","prompt":"and then?","context":)" + context + "}"));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.text();
  const auto& messages = parsed->tasks.at(0).input.messages;
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[0].content, "Be brief.");
  EXPECT_EQ(messages[1].content, "söme question");
  EXPECT_EQ(messages[2], assistant);
  EXPECT_EQ(messages[3].content, "and then?");
  EXPECT_EQ(parsed->conversation, messages);
}

TEST(OllamaRequest, NamesTheFieldThatIsWrong) {
  struct {
    const char *body, *param;
  } table[] = {
      {R"({"prompt":"a"})", "model"},
      {R"({"model":"m","prompt":"a","images":["x"]})", "images"},
      {R"({"model":"m","prompt":"a","suffix":"b"})", "suffix"},
      {R"({"model":"m","prompt":"a","context":[1,2,3]})", "context"},
      {R"({"model":"m","prompt":"a","context":[7564144,1,9,0]})", "context"},
      {R"({"model":"m","prompt":"a","keep_alive":"soon"})", "keep_alive"},
      {R"({"model":"m","prompt":"a","format":"xml"})", "format"},
      {R"({"model":"m","prompt":"a","options":{"temperature":"hot"}})", "options.temperature"},
  };
  for (auto [body, param] : table) {
    auto parsed = parse_ollama_generate(request(body));
    ASSERT_FALSE(parsed.has_value()) << body;
    EXPECT_EQ(parsed.error().param, param) << body;
  }
}

TEST(OllamaTime, ReadsKeepAlive) {
  auto read = [](const std::string& value) {
    auto object = boost::json::parse("{\"keep_alive\":" + value + "}").as_object();
    std::optional<ApiError> error;
    Fields body(object, error);
    return read_keep_alive(body);
  };
  EXPECT_EQ(read("30"), std::chrono::seconds(30));
  EXPECT_EQ(read("\"5m\""), std::chrono::minutes(5));
  EXPECT_EQ(read("\"1h0m1.5s\""), std::chrono::milliseconds(3601500));
  EXPECT_EQ(read("\"300\""), std::chrono::seconds(300));
  EXPECT_EQ(read("\"0\""), Duration::zero());
  for (const char* forever : {"-1", "\"-1m\"", "1e30", "\"9999999999h\""})
    EXPECT_EQ(read(forever), kKeepForever) << forever;
  for (const char* bad : {"true", "\"\"", "\"m\"", "\"5x\"", "\"5m-\"", "\"nan\""}) EXPECT_FALSE(read(bad)) << bad;
}

agent::TaskResult result(const std::string& content) {
  agent::TaskResult done;
  done.message.role = "assistant";
  done.message.content = content;
  done.finish_reason = "stop";
  done.usage = {11, 4, 3};
  done.total = std::chrono::milliseconds(6);
  done.load = std::chrono::milliseconds(1);
  done.prefill = std::chrono::milliseconds(2);
  done.decode = std::chrono::milliseconds(3);
  return done;
}

OllamaFrame frame(OllamaFrame::Kind kind) {
  OllamaFrame result;
  result.kind = kind;
  result.model = "m:latest";
  result.wall = [] { return WallTime(std::chrono::nanoseconds(1'700'000'000'000'000'042)); };
  return result;
}

TEST(OllamaFormat, StreamsAChatAsLines) {
  OllamaFormat format(frame(OllamaFrame::Kind::chat));
  language::Delta thought, text;
  thought.reasoning = "hm";
  text.content = "Hi";
  auto done = result("Hi");
  done.message.tool_calls = {{"c1", "look", R"({"x":1})"}};
  EXPECT_EQ(
      format.delta(0, thought) + format.delta(0, text) + format.finished(0, done) + format.end(),
      R"({"model":"m:latest","created_at":"2023-11-14T22:13:20.000000042Z","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}
{"model":"m:latest","created_at":"2023-11-14T22:13:20.000000042Z","message":{"role":"assistant","content":"Hi"},"done":false}
{"model":"m:latest","created_at":"2023-11-14T22:13:20.000000042Z","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"look","arguments":{"x":1}}}]},"done":false}
{"model":"m:latest","created_at":"2023-11-14T22:13:20.000000042Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":6000000,"load_duration":1000000,"prompt_eval_count":11,"prompt_eval_duration":2000000,"eval_count":3,"eval_duration":3000000}
)");
}

TEST(OllamaFormat, WritesAWholeGenerationWithItsContext) {
  auto generate = frame(OllamaFrame::Kind::generate);
  language::Message user;
  user.role = "user";
  user.content = "a";
  generate.conversation = {user};
  OllamaFormat format(generate);
  std::string body = format.whole({{result("Hi"), {}}});
  EXPECT_THAT(body, HasSubstr(R"("response":"Hi","done":true,"done_reason":"stop","context":[7564144,1,33,)"));
  // What it hands out, it takes back.
  auto context = boost::json::serialize(boost::json::parse(body).at("context"));
  auto next = parse_ollama_generate(request(R"({"model":"m","prompt":"b","context":)" + context + "}"));
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->conversation.size(), 3U);
  EXPECT_EQ(next->conversation[1].content, "Hi");
}

TEST(OllamaFormat, SaysWhyItAnsweredNothing) {
  OllamaFormat format(frame(OllamaFrame::Kind::generate));
  EXPECT_EQ(format.loaded(false), R"({"model":"m:latest","created_at":"2023-11-14T22:13:20.000000042Z",)"
                                  R"("response":"","done":true,"done_reason":"load"})");
  EXPECT_THAT(format.loaded(true), HasSubstr(R"("done_reason":"unload")"));
}

TEST(OllamaEmbed, CutsWhatIsTooLongUnlessToldOtherwise) {
  HttpRequest request;
  request.body = R"({"model":"m","input":"a"})";
  EXPECT_TRUE(parse_ollama_embed(request)->input.truncate);
  request.body = R"({"model":"m","input":"a","truncate":false})";
  EXPECT_FALSE(parse_ollama_embed(request)->input.truncate);
}

TEST(OllamaEmbed, WritesBothShapes) {
  engine::Embeddings embeddings{{{0.5F, 1.0F}, {0.0F, -1.0F}}, 6};
  EXPECT_EQ(ollama_embed("m", embeddings, std::chrono::milliseconds(1)),
            R"({"model":"m","embeddings":[[0.5,1],[0,-1]],"total_duration":1000000,"load_duration":0,)"
            R"("prompt_eval_count":6})");
  EXPECT_EQ(ollama_embeddings(embeddings), R"({"embedding":[0.5,1]})");
  EXPECT_EQ(ollama_embeddings({}), R"({"embedding":[]})");
}

TEST(OllamaModels, ShowsWhatClientsLookFor) {
  model::ModelInfo model;
  model.name = "org/tiny";
  model.architecture = "llama";
  model.quantization = "Q4_0";
  model.parameters = 7'615'616'512;
  model.file_size = Bytes(4'000'000'000);
  model.context_length = 2048;
  model.embedding_length = 64;
  model.layers = 2;
  model.hash = "abc";
  model.capabilities = {"completion", "tools"};
  EXPECT_EQ(ollama_tags({model}),
            R"({"models":[{"name":"org/tiny","model":"org/tiny","modified_at":"1970-01-01T00:00:00.000000000Z",)"
            R"("size":4000000000,"digest":"abc","details":{"parent_model":"","format":"gguf","family":"llama",)"
            R"("families":["llama"],"parameter_size":"7.6B","quantization_level":"Q4_0"}}]})");
  EXPECT_THAT(ollama_show(model), HasSubstr(R"("model_info":{"general.architecture":"llama",)"
                                            R"("general.parameter_count":7615616512,"llama.context_length":2048,)"));
  EXPECT_THAT(ollama_show(model), HasSubstr(R"("capabilities":["completion","tools"])"));
  RunningModel running;
  running.info = model;
  running.host_bytes = Bytes(100);
  running.gpu_bytes = Bytes(20);
  running.context_tokens = 512;
  running.expires_at = WallTime(std::chrono::seconds(60));
  EXPECT_THAT(ollama_ps({running}, {}), HasSubstr(R"("size":120,)"));
  EXPECT_THAT(ollama_ps({running}, {}), HasSubstr(R"("expires_at":"1970-01-01T00:01:00.000000000Z","size_vram":20,)"
                                                  R"("context_length":512)"));
}

}  // namespace
}  // namespace skep::api::wire
