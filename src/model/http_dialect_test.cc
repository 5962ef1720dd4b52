#include "model/http_dialect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>

#include "model/answer_stream.h"

namespace skep::model {
namespace {

using ::testing::HasSubstr;
namespace json = boost::json;

json::value body_of(const Result<HttpAsk>& ask) {
  EXPECT_TRUE(ask) << ask.error().text();
  return json::parse(ask->body);
}

engine::Generate chat() {
  return {.messages = {{"system", "be brief"}, {"user", "hi"}},
          .sampling = {.temperature = 0.5F, .top_k = 40, .min_p = 0.05F, .seed = 7},
          .max_tokens = 32,
          .stop = {"END"}};
}

TEST(HttpDialect, SaysToAnOpenAiServerOnlyWhatItsApiKnows) {
  auto ask = generate_ask(HttpDialect::openai, "gpt", chat(), 4096);
  json::value body = body_of(ask);
  EXPECT_EQ(ask->target, "/v1/chat/completions");
  EXPECT_EQ(body.at("messages").as_array().size(), 2U);
  EXPECT_EQ(body.at("messages").at(1).at("content").as_string(), "hi");
  EXPECT_EQ(body.at("max_tokens").as_int64(), 32);
  EXPECT_TRUE(body.at("stream_options").at("include_usage").as_bool());
  EXPECT_EQ(body.at("stop").at(0).as_string(), "END");
  for (const char* unknown : {"top_k", "min_p", "grammar", "repeat_penalty", "response_format"})
    EXPECT_FALSE(body.as_object().contains(unknown)) << unknown;
}

TEST(HttpDialect, GivesLlamaServerTheGrammarAndOthersTheSchema) {
  engine::Generate request = chat();
  request.grammar = "root ::= \"a\"";
  EXPECT_EQ(body_of(generate_ask(HttpDialect::llama_server, "m", request, 0)).at("grammar").as_string(),
            "root ::= \"a\"");
  for (auto dialect : {HttpDialect::openai, HttpDialect::ollama}) {
    auto refused = generate_ask(dialect, "m", request, 0);
    ASSERT_FALSE(refused) << "a grammar must not be dropped silently";
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  }
  request.json_schema = R"({"type":"object"})";
  json::value openai = body_of(generate_ask(HttpDialect::openai, "m", request, 0));
  EXPECT_EQ(openai.at("response_format").at("json_schema").at("schema").at("type").as_string(), "object");
  json::value ollama = body_of(generate_ask(HttpDialect::ollama, "m", request, 0));
  EXPECT_EQ(ollama.at("format").at("type").as_string(), "object");
}

TEST(HttpDialect, SpeaksOllama) {
  auto ask = generate_ask(HttpDialect::ollama, "qwen:7b", chat(), 8192);
  json::value body = body_of(ask);
  EXPECT_EQ(ask->target, "/api/chat");
  EXPECT_EQ(body.at("options").at("num_ctx").as_int64(), 8192);
  EXPECT_EQ(body.at("options").at("num_predict").as_int64(), 32);
  EXPECT_EQ(body.at("options").at("top_k").as_int64(), 40);
  engine::Generate raw{.prompt = "once", .assistant_prefix = " upon"};
  ask = generate_ask(HttpDialect::ollama, "qwen:7b", raw, 8192);
  EXPECT_EQ(ask->target, "/api/generate");
  EXPECT_EQ(body_of(ask).at("prompt").as_string(), "once upon");
  EXPECT_TRUE(body_of(ask).at("raw").as_bool());
}

TEST(HttpDialect, EmbeddingsComeBackInOrderAndOfUnitLength) {
  auto result = parse_embeddings(
      HttpDialect::openai,
      R"({"data":[{"index":1,"embedding":[0,5]},{"index":0,"embedding":[3,4]}],"usage":{"prompt_tokens":6}})", 2);
  ASSERT_TRUE(result) << result.error().text();
  EXPECT_FLOAT_EQ(result->vectors[0][0], 0.6F);
  EXPECT_FLOAT_EQ(result->vectors[1][1], 1.0F);
  EXPECT_EQ(result->prompt_tokens, 6);
  result = parse_embeddings(HttpDialect::ollama, R"({"embeddings":[[2,0]],"prompt_eval_count":3})", 1);
  EXPECT_FLOAT_EQ(result->vectors[0][0], 1.0F);
  for (const char* broken : {"", "{}", R"({"data":[]})", R"({"data":[{"index":0,"embedding":["x"]}]})",
                             R"({"data":[{"index":5,"embedding":[1]}]})", R"({"data":[{"embedding":[]}]})"})
    EXPECT_FALSE(parse_embeddings(HttpDialect::openai, broken, 1)) << broken;
  EXPECT_FALSE(
      parse_embeddings(HttpDialect::openai, R"({"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]})", 2))
      << "one twice, the other never";
}

TEST(HttpDialect, ErrorsCarryWhatTheServerSaid) {
  for (const char* body : {R"({"error":{"message":"m","code":"context_length_exceeded"}})",
                           R"({"error":{"message":"m","code":400,"type":"exceed_context_size_error"}})"})
    EXPECT_EQ(http_error(400, body, "http://a:1", "").code, ErrorCode::context_overflow) << body;
  Error error = http_error(400, R"({"error":{"message":"context too long"}})", "http://a:1", "");
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_EQ(error.message, "http://a:1 answered 400: context too long");
  EXPECT_EQ(http_error(404, R"({"error":"model 'x' not found"})", "s", "").message,
            "s answered 404: model 'x' not found");
  error = http_error(401, "<html>", "s", "MY_KEY");
  EXPECT_EQ(error.code, ErrorCode::unavailable) << "it is our key, not the caller's";
  EXPECT_THAT(error.hint, HasSubstr("$MY_KEY"));
}

// --- Streams

std::string text_of(AnswerStream& stream, std::string_view bytes, size_t step) {
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += step) {
    auto pieces = stream.feed(bytes.substr(at, step));
    EXPECT_TRUE(pieces) << pieces.error().text();
    if (!pieces) break;
    for (const engine::Piece& piece : *pieces) text += piece.text;
  }
  return text;
}

constexpr std::string_view kOpenAi =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
    ": ping\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"Gr\xC3\xBC\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"\xC3\x9F"
    "e\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,"
    "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n"
    "data: [DONE]\n\n";

TEST(AnswerStream, ReadsAnOpenAiAnswerHoweverItIsCut) {
  for (size_t step = 1; step <= kOpenAi.size(); step += 7) {
    AnswerStream stream(HttpDialect::openai, false);
    EXPECT_EQ(text_of(stream, kOpenAi, step),
              "<think>hm</think>Gr\xC3\xBC\xC3\x9F"
              "e");
    ASSERT_TRUE(stream.finished());
    EXPECT_EQ(stream.finished()->reason, engine::FinishReason::length);
    EXPECT_EQ(stream.finished()->usage, (engine::Usage{9, 4, 5}));
    EXPECT_TRUE(stream.end());
  }
}

TEST(AnswerStream, ReadsAnOllamaAnswer) {
  AnswerStream stream(HttpDialect::ollama, false);
  EXPECT_EQ(
      text_of(stream,
              "{\"message\":{\"thinking\":\"a\"},\"done\":false}\n{\"message\":{\"content\":\"b\"},\"done\":false}\n"
              "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,"
              "\"eval_count\":2,\"prompt_eval_duration\":1000000,\"eval_duration\":2000000}\n",
              5),
      "<think>a</think>b");
  ASSERT_TRUE(stream.finished());
  EXPECT_EQ(stream.finished()->usage.completion_tokens, 2);
  EXPECT_EQ(stream.finished()->decode, std::chrono::milliseconds(2));
}

TEST(AnswerStream, ReadsRawCompletionsAndLogprobs) {
  AnswerStream raw(HttpDialect::openai, true);
  EXPECT_EQ(text_of(raw, "data: {\"choices\":[{\"text\":\"abc\",\"finish_reason\":\"stop\"}]}\n\n", 99), "abc");
  EXPECT_EQ(raw.end()->usage.completion_tokens, 1) << "without usage, pieces are counted";
  AnswerStream logged(HttpDialect::openai, false);
  auto pieces = logged.feed(
      "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"logprobs\":{\"content\":[{\"token\":\"x\",\"logprob\":-0.5,"
      "\"top_logprobs\":[{\"token\":\"y\",\"logprob\":-1}]}]}}]}\n\n");
  EXPECT_EQ(pieces->front().logprobs.front().logprob, -0.5F);
  EXPECT_EQ(pieces->front().logprobs.front().top.front().first, "y");
}

TEST(AnswerStream, AnErrorOrACutIsNoAnswer) {
  AnswerStream cut(HttpDialect::openai, false);
  EXPECT_EQ(text_of(cut, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", 99), "x");
  EXPECT_EQ(cut.end().error().code, ErrorCode::unavailable);
  AnswerStream failed(HttpDialect::openai, false);
  EXPECT_EQ(failed.feed("data: {\"error\":{\"message\":\"out of memory\"}}\n\n").error().message, "out of memory");
  AnswerStream ollama(HttpDialect::ollama, false);
  EXPECT_EQ(ollama.feed("{\"error\":\"gone\"}\n").error().message, "gone");
  AnswerStream garbage(HttpDialect::openai, false);
  EXPECT_EQ(garbage.feed("data: <html>\n\n").error().code, ErrorCode::corrupt);
  AnswerStream unsaid(HttpDialect::openai, false);
  EXPECT_FALSE(unsaid.feed("data: [DONE]\n\n")) << "an end without a reason is a cut";
}

}  // namespace
}  // namespace skep::model
