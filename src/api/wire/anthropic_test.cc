#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/wire/anthropic_format.h"
#include "api/wire/anthropic_request.h"

namespace skep::api::wire {
namespace {

using ::testing::ElementsAre;

HttpRequest request(std::string body) {
  HttpRequest result;
  result.body = std::move(body);
  return result;
}

TEST(AnthropicRequest, ReadsBlocksToolsAndSystem) {
  auto parsed = parse_anthropic(request(R"({
    "model": "m", "max_tokens": 9, "stream": true, "system": [{"type": "text", "text": "Be brief."}],
    "temperature": 0.5, "top_k": 5, "stop_sequences": ["x"], "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tools": [{"name": "look", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "look"},
    "messages": [
      {"role": "user", "content": "a"},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "b"},
                                        {"type": "tool_use", "id": "c1", "name": "look", "input": {"x": 1}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "42"},
                                   {"type": "text", "text": "go on"}]}]})"));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.text();
  EXPECT_TRUE(parsed->stream);
  const auto& input = parsed->tasks.at(0).input;
  ASSERT_EQ(input.messages.size(), 5U);
  EXPECT_EQ(input.messages[0].content, "Be brief.");
  EXPECT_THAT(input.messages[2].tool_calls, ElementsAre(language::ToolCall{"c1", "look", R"({"x":1})"}));
  EXPECT_EQ(input.messages[3].role, "tool");
  EXPECT_EQ(input.messages[3].tool_call_id, "c1");
  EXPECT_EQ(input.messages[4].content, "go on");
  EXPECT_EQ(input.tool_choice.name, "look");
  EXPECT_EQ(input.think, true);
  EXPECT_THAT(input.stop, ElementsAre("x"));
  EXPECT_EQ(parse_anthropic(request(R"({"model":"m","messages":[{"role":"user","content":"a"}]})")).error().param,
            "max_tokens");
  EXPECT_EQ(parse_anthropic(
                request(R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]})"))
                .error()
                .param,
            "messages[0].content[0].type");
}

agent::TaskResult result(const std::string& reason) {
  agent::TaskResult done;
  done.route.model = "m";
  done.finish_reason = reason;
  done.usage = {11, 4, 3};
  return done;
}

TEST(AnthropicFormat, OpensAndClosesBlocks) {
  AnthropicFormat format("msg-1", "m");
  language::Delta text, call, arguments;
  text.content = "Hi";
  call.tool_calls = {{0, "c1", "look", ""}};
  arguments.tool_calls = {{0, "", "", "{}"}};
  std::string events = format.delta(0, text);
  events += format.delta(0, call);
  events += format.delta(0, arguments);
  events += format.finished(0, result("tool_calls"));
  EXPECT_EQ(events, R"(event: message_start
data: {"type":"message_start","message":{"id":"msg-1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c1","name":"look","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":3}}

event: message_stop
data: {"type":"message_stop"}

)");
}

TEST(AnthropicFormat, WritesAWholeMessage) {
  AnthropicFormat format("msg-1", "asked");
  Answer answer{result("length"), {}};
  answer.result.message.content = "Hi";
  EXPECT_EQ(format.whole({answer}),
            R"({"id":"msg-1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],)"
            R"("stop_reason":"max_tokens","stop_sequence":null,"usage":{"input_tokens":7,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":3}})");
}

}  // namespace
}  // namespace skep::api::wire
