#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/wire/openai_responses_format.h"
#include "api/wire/openai_responses_request.h"

namespace skep::api::wire {
namespace {

using ::testing::ElementsAre;

HttpRequest request(std::string body) {
  HttpRequest result;
  result.body = std::move(body);
  return result;
}

TEST(OpenAiResponsesRequest, ReadsItemsToolsAndFormat) {
  auto parsed = parse_openai_responses(request(R"({
    "model": "m", "instructions": "Be brief.", "stream": true, "max_output_tokens": 9, "store": true,
    "input": [
      {"role": "user", "content": "a"},
      {"type": "reasoning", "summary": []},
      {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
      {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "c1", "output": "42"}],
    "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
    "tool_choice": "required", "reasoning": {"effort": "none"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    "include": ["message.output_text.logprobs"]})"));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.text();
  EXPECT_TRUE(parsed->stream);
  const auto& input = parsed->tasks.at(0).input;
  ASSERT_EQ(input.messages.size(), 4U);
  EXPECT_EQ(input.messages[0].role, "system");
  EXPECT_EQ(input.messages[1].content, "a");
  EXPECT_EQ(input.messages[2].content, "b");
  EXPECT_THAT(input.messages[2].tool_calls, ElementsAre(language::ToolCall{"c1", "look", "{}"}));
  EXPECT_EQ(input.messages[3].role, "tool");
  EXPECT_EQ(input.messages[3].content, "42");
  EXPECT_EQ(input.tools.at(0).name, "look");
  EXPECT_EQ(input.tool_choice.kind, language::ToolChoice::Kind::required);
  EXPECT_EQ(input.format.schema, R"({"type":"object"})");
  EXPECT_EQ(input.think, false);
  EXPECT_EQ(input.overrides.max_tokens, 9);
  EXPECT_TRUE(input.overrides.logprobs);
}

TEST(OpenAiResponsesRequest, EchoesWhatWasAskedForAndTheDefaultsOfTheRest) {
  auto parsed = parse_openai_responses(request(R"({
    "model": "m", "input": "a", "instructions": "Be brief.", "max_output_tokens": 9, "metadata": {"run": "7"},
    "temperature": 0.5, "tools": [{"type": "function", "name": "look"}], "tool_choice": "required",
    "store": true, "truncation": "auto", "previous_response_id": null})"));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.text();
  EXPECT_EQ(boost::json::serialize(parsed->echo),
            R"({"instructions":"Be brief.","max_output_tokens":9,"max_tool_calls":null,"metadata":{"run":"7"},)"
            R"("parallel_tool_calls":true,"reasoning":{"effort":null,"summary":null},"temperature":5E-1,)"
            R"("text":{"format":{"type":"text"}},"tool_choice":"required","tools":[{"type":"function","name":"look"}],)"
            R"("top_logprobs":0,"top_p":1E0,"user":null,"background":false,"previous_response_id":null,)"
            R"("service_tier":"default","store":false,"truncation":"disabled"})");
}

TEST(OpenAiResponsesRequest, RefusesWhatNeedsState) {
  for (const char* field : {R"("previous_response_id":"resp_1")", R"("conversation":"c")", R"("background":true)"}) {
    auto parsed = parse_openai_responses(request(std::string(R"({"model":"m","input":"a",)") + field + "}"));
    ASSERT_FALSE(parsed.has_value()) << field;
    EXPECT_NE(std::string(field).find("\"" + parsed.error().param + "\""), std::string::npos) << field;
    EXPECT_EQ(http_status(parsed.error().error.code), 400);
  }
  EXPECT_EQ(
      parse_openai_responses(request(R"({"model":"m","input":[{"type":"item_reference","id":"x"}]})")).error().param,
      "input[0].type");
}

OpenAiResponsesFormat format() {
  return OpenAiResponsesFormat({"resp-1", 1700000000, "m", {{"instructions", nullptr}}, false});
}

agent::TaskResult result(const std::string& reason = "stop") {
  agent::TaskResult done;
  done.route.model = "m";
  done.finish_reason = reason;
  done.usage = {11, 4, 3};
  return done;
}

// The types and places of a stream's events, one a line.
std::string outline(const std::string& events) {
  std::string lines;
  size_t at = 0;
  while ((at = events.find("data: ", at)) != std::string::npos) {
    size_t end = events.find('\n', at);
    auto value = boost::json::parse(events.substr(at + 6, end - at - 6)).as_object();
    lines += std::to_string(value["sequence_number"].as_int64()) + " " + value["type"].as_string().c_str();
    if (value.contains("output_index")) lines += " @" + std::to_string(value["output_index"].to_number<int>());
    if (value.contains("delta")) lines += std::string(" ") + value["delta"].as_string().c_str();
    lines += "\n";
    at = end;
  }
  return lines;
}

TEST(OpenAiResponsesFormat, SendsTheEventsInOrder) {
  auto stream = format();
  language::Delta thought, hello, world, call, arguments;
  thought.reasoning = "hm";
  hello.content = "Hello";
  world.content = " world";
  call.tool_calls = {{0, "c1", "look", ""}};
  arguments.tool_calls = {{0, "", "", "{}"}};
  std::string events;
  for (const auto& delta : {thought, hello, world, call, arguments}) events += stream.delta(0, delta);
  events += stream.finished(0, result());
  EXPECT_EQ(outline(events),
            "0 response.created\n"
            "1 response.in_progress\n"
            "2 response.output_item.added @0\n"
            "3 response.content_part.added @0\n"
            "4 response.reasoning_text.delta @0 hm\n"
            "5 response.reasoning_text.done @0\n"
            "6 response.content_part.done @0\n"
            "7 response.output_item.done @0\n"
            "8 response.output_item.added @1\n"
            "9 response.content_part.added @1\n"
            "10 response.output_text.delta @1 Hello\n"
            "11 response.output_text.delta @1  world\n"
            "12 response.output_text.done @1\n"
            "13 response.content_part.done @1\n"
            "14 response.output_item.done @1\n"
            "15 response.output_item.added @2\n"
            "16 response.function_call_arguments.delta @2 {}\n"
            "17 response.function_call_arguments.done @2\n"
            "18 response.output_item.done @2\n"
            "19 response.completed\n");
}

TEST(OpenAiResponsesFormat, WritesEventsWithTheirPlaces) {
  auto stream = format();
  language::Delta delta;
  delta.content = "Hi";
  std::string events = stream.delta(0, delta);
  EXPECT_THAT(events, ::testing::HasSubstr(
                          "event: response.output_text.delta\n"
                          R"(data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_resp-1_0",)"
                          R"("output_index":0,"content_index":0,"delta":"Hi","logprobs":[]})"
                          "\n\n"));
  EXPECT_THAT(stream.broken({{ErrorCode::unavailable, "the engine died", ""}, ""}),
              ::testing::HasSubstr(R"("status":"failed","error":{"code":"unavailable","message":"the engine died"})"));
}

TEST(OpenAiResponsesFormat, WritesAWholeAnswer) {
  auto whole = format();
  Answer answer{result("length"), {}};
  answer.result.message.content = "Hi";
  EXPECT_EQ(
      whole.whole({answer}),
      R"({"id":"resp-1","object":"response","created_at":1700000000,"status":"incomplete","error":null,)"
      R"("incomplete_details":{"reason":"max_output_tokens"},"model":"m","output":[{)"
      R"("id":"msg_resp-1_0","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text",)"
      R"("text":"Hi","annotations":[],"logprobs":[]}]}],"instructions":null,"usage":{"input_tokens":11,)"
      R"("input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},)"
      R"("total_tokens":14}})");
}

}  // namespace
}  // namespace skep::api::wire
