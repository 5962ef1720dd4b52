#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/wire/openai_chat_format.h"
#include "api/wire/openai_chat_request.h"
#include "api/wire/openai_completion_format.h"
#include "api/wire/openai_completion_request.h"

namespace skep::api::wire {
namespace {

using ::testing::ElementsAre;

HttpRequest request(std::string body, Headers headers = {}) {
  HttpRequest result;
  result.body = std::move(body);
  result.headers = std::move(headers);
  result.caller = {"app", Role::user};
  return result;
}

TEST(OpenAiChatRequest, ReadsEveryField) {
  auto parsed = parse_openai_chat(request(R"({
    "model": "dev-1", "stream": true, "stream_options": {"include_usage": true}, "n": 2,
    "max_tokens": 5, "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["a", "b"], "seed": 40,
    "presence_penalty": 0.1, "frequency_penalty": -0.2, "top_k": 20, "min_p": 0.05, "repeat_penalty": 1.1,
    "logit_bias": {"17": -100}, "logprobs": true, "top_logprobs": 3, "reasoning_effort": "high", "user": "u",
    "agent": "dev-2", "priority": "high", "deadline_ms": 1500, "task_type": "code", "something_new": {"x": 1},
    "messages": [
      {"role": "developer", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "it?"}]},
      {"role": "assistant", "content": null,
       "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"x\":1}"}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "42"}],
    "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}})"));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.text();
  EXPECT_TRUE(parsed->stream);
  EXPECT_TRUE(parsed->include_usage);
  ASSERT_EQ(parsed->tasks.size(), 2U);
  const agent::TaskRequest& task = parsed->tasks[1];
  EXPECT_EQ(task.model, "dev-1");
  EXPECT_EQ(task.agent, "dev-2");
  EXPECT_EQ(task.caller, "app");
  EXPECT_EQ(task.priority, scheduling::Priority::high);
  EXPECT_EQ(task.deadline, std::chrono::milliseconds(1500));
  const language::Request& input = task.input;
  EXPECT_EQ(input.task_type, "code");
  EXPECT_EQ(input.overrides.max_tokens, 7);
  EXPECT_EQ(input.overrides.temperature, 0.5F);
  EXPECT_EQ(input.overrides.top_p, 0.9F);
  EXPECT_EQ(input.overrides.top_k, 20);
  EXPECT_EQ(input.overrides.min_p, 0.05F);
  EXPECT_EQ(input.overrides.repeat_penalty, 1.1F);
  EXPECT_EQ(input.overrides.presence_penalty, 0.1F);
  EXPECT_EQ(input.overrides.frequency_penalty, -0.2F);
  EXPECT_EQ(input.overrides.seed, 41U);  // the second choice's
  EXPECT_THAT(input.overrides.logit_bias, ElementsAre(std::pair(17, -100.0F)));
  EXPECT_TRUE(input.overrides.logprobs);
  EXPECT_EQ(input.overrides.top_logprobs, 3);
  EXPECT_THAT(input.stop, ElementsAre("a", "b"));
  EXPECT_EQ(input.think, true);
  ASSERT_EQ(input.messages.size(), 4U);
  EXPECT_EQ(input.messages[0].role, "system");
  EXPECT_EQ(input.messages[1].content, "What is it?");
  EXPECT_THAT(input.messages[2].tool_calls, ElementsAre(language::ToolCall{"c1", "look", R"({"x":1})"}));
  EXPECT_EQ(input.messages[3].tool_call_id, "c1");
  ASSERT_EQ(input.tools.size(), 1U);
  EXPECT_EQ(input.tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(input.tool_choice.kind, language::ToolChoice::Kind::named);
  EXPECT_EQ(input.format.kind, language::ResponseFormat::Kind::json_schema);
  EXPECT_EQ(input.format.schema, R"({"type":"array"})");
}

TEST(OpenAiChatRequest, LeavesWhatIsNotSaidToTheDaemon) {
  auto parsed = parse_openai_chat(request(R"({"model":"auto","messages":[{"role":"user","content":"hi"}]})"));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_FALSE(parsed->stream);
  const auto& task = parsed->tasks.at(0);
  EXPECT_FALSE(task.priority || task.deadline || task.keep_alive || task.input.think);
  const auto& overrides = task.input.overrides;
  EXPECT_FALSE(overrides.temperature || overrides.top_p || overrides.max_tokens || overrides.seed || overrides.top_k);
}

TEST(OpenAiChatRequest, ReadsOurFieldsFromHeadersToo) {
  auto parsed = parse_openai_chat(
      request(R"({"model":"auto","priority":"low","messages":[{"role":"user","content":"hi"}]})", {}));
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().param, "priority");
  parsed = parse_openai_chat(
      request(R"({"model":"auto","agent":"dev-1","messages":[{"role":"user","content":"hi"}]})",
              {{"x-skep-agent", "ops-1"}, {"X-Skep-Priority", "critical"}, {"X-SKEP-DEADLINE-MS", "250"}}));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->tasks[0].agent, "dev-1");  // the body wins
  EXPECT_EQ(parsed->tasks[0].priority, scheduling::Priority::critical);
  EXPECT_EQ(parsed->tasks[0].deadline, std::chrono::milliseconds(250));
}

TEST(OpenAiChatRequest, NamesTheFieldThatIsWrong) {
  struct {
    const char *body, *param;
  } table[] = {
      {R"({"messages":[{"role":"user","content":"hi"}]})", "model"},
      {R"({"model":"m"})", "messages"},
      {R"({"model":"m","messages":[]})", "messages"},
      {R"({"model":"m","messages":["hi"]})", "messages[0]"},
      {R"({"model":"m","messages":[{"role":"robot","content":"hi"}]})", "messages[0].role"},
      {R"({"model":"m","messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"model":"m","messages":[{"role":"tool","content":"x"}]})", "messages[0].tool_call_id"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]})",
       "messages[0].content[0].type"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":3})", "temperature"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":0})", "max_tokens"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"n":99})", "n"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"stop":[""]})", "stop"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"tool_choice":"required"})", "tool_choice"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"web_search"}]})", "tools[0].type"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema"}})",
       "response_format.json_schema"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"top_logprobs":2})", "top_logprobs"},
      {R"({"model":"m","messages":[{"role":"user","content":"hi"}],"logit_bias":{"x":1}})", "logit_bias"},
  };
  for (auto [body, param] : table) {
    auto parsed = parse_openai_chat(request(body));
    ASSERT_FALSE(parsed.has_value()) << body;
    EXPECT_EQ(parsed.error().param, param) << body;
    EXPECT_EQ(http_status(parsed.error().error.code), 400) << body;
  }
}

OpenAiChatFrame frame() { return {"chatcmpl-1", 1700000000, "asked", 1, false, false}; }

agent::TaskResult result(const std::string& content, const std::string& reason = "stop") {
  agent::TaskResult done;
  done.route.model = "tiny";
  done.message.content = content;
  done.finish_reason = reason;
  done.usage = {11, 4, 3};
  return done;
}

language::Delta text(const std::string& content) {
  language::Delta delta;
  delta.content = content;
  return delta;
}

TEST(OpenAiChatFormat, StreamsRoleContentFinishAndDone) {
  OpenAiChatFormat format(frame());
  agent::TaskStarted started;
  started.route.model = "tiny";
  std::string events = format.started(0, started);
  EXPECT_EQ(events, "");
  events += format.delta(0, text("Hel"));
  events += format.delta(0, {});
  events += format.delta(0, text("lo"));
  events += format.finished(0, result("Hello"));
  events += format.end();
  EXPECT_EQ(
      events,
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: [DONE]

)");
}

TEST(OpenAiChatFormat, SendsTheUsageChunkOnlyWhenAskedFor) {
  auto with_usage = frame();
  with_usage.include_usage = true;
  OpenAiChatFormat format(with_usage);
  std::string events = format.finished(0, result(""));
  events += format.end();
  EXPECT_EQ(
      events,
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"asked","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"asked","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"asked","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":4}}}

data: [DONE]

)");
}

TEST(OpenAiChatFormat, StreamsToolCallsWithTheirIndexAndArgumentsAsText) {
  OpenAiChatFormat format(frame());
  language::Delta head, rest;
  head.tool_calls = {{0, "c1", "look", ""}};
  rest.tool_calls = {{0, "", "", "{\"x\":1}"}};
  std::string events = format.delta(0, head);
  events += format.delta(0, rest);
  events += format.finished(0, result("", "tool_calls"));
  EXPECT_EQ(
      events,
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"asked","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"asked","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"look","arguments":""}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"asked","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"asked","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

)");
}

TEST(OpenAiChatFormat, WritesAWholeAnswerWithReasoningAndCalls) {
  OpenAiChatFormat format(frame());
  Answer answer{result("", "tool_calls"), {}};
  answer.result.message.reasoning = "I must look.";
  answer.result.message.tool_calls = {{"c1", "look", "{}"}};
  EXPECT_EQ(
      format.whole({answer}),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"tiny","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":null,"refusal":null,"reasoning_content":"I must look.",)"
      R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{}"}}]},)"
      R"("logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":11,"completion_tokens":3,)"
      R"("total_tokens":14,"prompt_tokens_details":{"cached_tokens":4}}})");
}

TEST(OpenAiChatFormat, GivesTheBytesOfTokensThatArePartOfACharacter) {
  auto with_logprobs = frame();
  with_logprobs.logprobs = true;
  OpenAiChatFormat format(with_logprobs);
  Answer answer{result("ö"), {{"\xC3", -1.5F, {}}, {"\xB6", 0.0F, {}}}};
  EXPECT_THAT(
      format.whole({answer}),
      ::testing::HasSubstr(R"("logprobs":{"content":[{"token":"�","logprob":-1.5,"bytes":[195],"top_logprobs":[]},)"
                           R"({"token":"�","logprob":0,"bytes":[182],"top_logprobs":[]}],"refusal":null})"));
}

TEST(OpenAiCompletionRequest, MakesAChoiceOfEveryPrompt) {
  auto parsed = parse_openai_completion(request(R"({"model":"m","prompt":["a","b"],"n":2,"echo":true,"logprobs":2})"));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.text();
  ASSERT_EQ(parsed->tasks.size(), 4U);
  EXPECT_EQ(parsed->tasks[1].input.prompt, "a");
  EXPECT_EQ(parsed->tasks[2].input.prompt, "b");
  EXPECT_TRUE(parsed->tasks[0].input.raw);
  EXPECT_EQ(parsed->tasks[0].input.overrides.max_tokens, 16);
  EXPECT_EQ(parsed->tasks[0].input.overrides.top_logprobs, 2);
  EXPECT_THAT(parsed->echo, ElementsAre("a", "a", "b", "b"));
  struct {
    const char *body, *param;
  } table[] = {{R"({"model":"m"})", "prompt"},
               {R"({"model":"m","prompt":[1,2]})", "prompt"},
               {R"({"model":"m","prompt":"a","suffix":"b"})", "suffix"},
               {R"({"model":"m","prompt":["a","b","c"],"n":6})", "n"},
               {R"({"model":"m","prompt":"a","best_of":3})", "best_of"}};
  for (auto [body, param] : table) {
    auto broken = parse_openai_completion(request(body));
    ASSERT_FALSE(broken.has_value()) << body;
    EXPECT_EQ(broken.error().param, param) << body;
  }
}

TEST(OpenAiCompletionFormat, StreamsTextWithTheEchoFirst) {
  OpenAiCompletionFormat format({"cmpl-1", 1700000000, "m", false, false, {"Once"}});
  std::string events = format.delta(0, text(" upon"));
  events += format.finished(0, result(" upon", "length"));
  events += format.end();
  EXPECT_EQ(
      events,
      R"(data: {"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"m","choices":[{"index":0,"text":"Once upon","logprobs":null,"finish_reason":null}]}

data: {"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}

data: [DONE]

)");
}

TEST(OpenAiCompletionFormat, WritesLegacyLogprobs) {
  OpenAiCompletionFormat format({"cmpl-1", 1700000000, "m", false, true, {}});
  Answer answer{result("ab"), {{"a", -0.5F, {{"a", -0.5F}}}, {"b", -1.0F, {}}}};
  EXPECT_THAT(format.whole({answer}),
              ::testing::HasSubstr(R"("logprobs":{"tokens":["a","b"],"token_logprobs":[-0.5,-1],)"
                                   R"("top_logprobs":[{"a":-0.5},{}],"text_offset":[0,1]})"));
}

}  // namespace
}  // namespace skep::api::wire
