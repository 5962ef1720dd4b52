#include "mind/language/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mind/language/gbnf_recogniser.h"
#include "mind/language/tool_calls.h"

namespace skep::language {
namespace {

using engine::ChatMessage;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const Tool kWeather{.name = "weather",
                    .description = "Weather of a city",
                    .parameters = R"({"type":"object","properties":{"city":{"type":"string"}},"required":["city"]})"};
const Tool kClock{.name = "clock", .description = "", .parameters = ""};

Request asking(const std::string& text) {
  Request request;
  request.messages = {{.role = "user", .content = text}};
  return request;
}

Prompt made(const Request& request, const PromptContext& context = {}) {
  auto prompt = make_prompt(request, context);
  EXPECT_TRUE(prompt) << prompt.error().text();
  return prompt ? *prompt : Prompt{};
}

std::string error_of(const Request& request) {
  const auto prompt = make_prompt(request, {});
  if (prompt) return "none";
  EXPECT_EQ(prompt.error().code, ErrorCode::invalid_argument);
  return prompt.error().message;
}

TEST(Prompt, PutsThePreambleFirstThenTheAgentThenTheCallersSystemMessages) {
  Request request = asking("hello");
  request.messages.insert(request.messages.begin(), {.role = "system", .content = "be brief"});
  const Prompt prompt = made(request, {.preamble = "house", .system_prompt = "you are Ada"});
  EXPECT_THAT(prompt.generate.messages,
              ElementsAre(ChatMessage{"system", "house\n\nyou are Ada\n\nbe brief"}, ChatMessage{"user", "hello"}));
}

TEST(Prompt, WithoutAnAgentAndToolsTheMessagesAreAsTheyCame) {
  Request request = asking("a");
  request.messages.push_back({.role = "assistant", .content = "b", .reasoning = "hidden"});
  request.messages.push_back({.role = "system", .content = "later"});
  request.messages.push_back({.role = "user", .content = "c"});
  EXPECT_THAT(made(request).generate.messages, ElementsAre(ChatMessage{"user", "a"}, ChatMessage{"assistant", "b"},
                                                           ChatMessage{"system", "later"}, ChatMessage{"user", "c"}));
}

TEST(Prompt, AgentsWithTheSamePreambleAndToolsShareTheirBeginning) {
  Request request = asking("x");
  request.tools = {kWeather};
  const std::string one = made(request, {.preamble = "house", .system_prompt = "Ada"}).generate.messages[0].content;
  request.messages[0].content = "y";
  request.messages.insert(request.messages.begin(), {.role = "system", .content = "differs"});
  const std::string two = made(request, {.preamble = "house", .system_prompt = "Ada"}).generate.messages[0].content;
  EXPECT_THAT(two, StartsWith(one));
}

// What callers may share of a prompt.
std::string public_part(const Prompt& prompt) {
  const engine::Generate& g = prompt.generate;
  return (g.messages.empty() ? g.prompt : g.messages[0].content).substr(0, static_cast<size_t>(g.public_bytes));
}

TEST(Prompt, NothingIsPublicThatIsNotCalledSo) {
  EXPECT_EQ(public_part(made(asking("hello"), {.preamble = "house", .system_prompt = "you are Ada"})), "");
}

TEST(Prompt, APublicPreambleEndsWhereTheAgentBegins) {
  PromptContext context{.preamble = "house", .system_prompt = "you are Ada\n\nshe likes tea"};
  context.public_preamble = true;
  EXPECT_EQ(public_part(made(asking("hello"), context)), "house");
  context.public_prompt = 11;
  EXPECT_EQ(public_part(made(asking("hello"), context)), "house\n\nyou are Ada") << "not what she remembers";
  context.preamble = "";
  EXPECT_EQ(public_part(made(asking("hello"), context)), "you are Ada");
}

TEST(Prompt, TheLongestPublicTextThatACallerBeginsWithIsPublic) {
  PromptContext context;
  context.public_beginnings = {"You are", "You are a clerk.", "You are a clerk. No.", "hel"};
  Request request = asking("hello");
  EXPECT_EQ(public_part(made(request, context)), "hel");
  request.messages.insert(request.messages.begin(), {.role = "system", .content = "You are a clerk. Yes."});
  EXPECT_EQ(public_part(made(request, context)), "You are a clerk.");
  request = {};
  request.prompt = "You are here";
  request.raw = true;
  EXPECT_EQ(public_part(made(request, context)), "You are");
}

TEST(Prompt, APromptIsAUserMessageAndARawOneIsLeftAlone) {
  Request request;
  request.prompt = "Once";
  EXPECT_THAT(made(request, {.system_prompt = "s"}).generate.messages,
              ElementsAre(ChatMessage{"system", "s"}, ChatMessage{"user", "Once"}));
  request.raw = true;
  const Prompt raw = made(request, {.system_prompt = "s", .thinks = true});
  EXPECT_THAT(raw.generate.messages, IsEmpty());
  EXPECT_EQ(raw.generate.prompt, "Once");
  EXPECT_EQ(raw.generate.assistant_prefix, "");
}

TEST(Prompt, OffersToolsInTheWayOfQwenAndHermes) {
  Request request = asking("Weather in Oslo?");
  request.tools = {kWeather, kClock};
  const Prompt prompt = made(request);
  const std::string& system = prompt.generate.messages.at(0).content;
  EXPECT_THAT(system, HasSubstr("<tools>\n{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":"));
  EXPECT_THAT(system, HasSubstr("\"required\":[\"city\"]"));
  EXPECT_THAT(system, HasSubstr("\"name\":\"clock\",\"parameters\":{\"type\":\"object\",\"properties\":{}}"));
  EXPECT_THAT(system, HasSubstr("<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}"));
  EXPECT_THAT(prompt.format.tools, ElementsAre("weather", "clock"));
  EXPECT_EQ(prompt.generate.grammar, "");
}

TEST(Prompt, WritesCallsAndResultsBackInTheFamilysWay) {
  Request request = asking("Weather?");
  request.tools = {kWeather};
  request.messages.push_back({.role = "assistant",
                              .content = "I look.",
                              .tool_calls = {{.id = "1", .name = "weather", .arguments = R"({"city":"Oslo"})"},
                                             {.id = "2", .name = "weather", .arguments = R"({"city":"Rome"})"}}});
  request.messages.push_back({.role = "tool", .content = "cold", .tool_call_id = "1"});
  request.messages.push_back({.role = "tool", .content = "warm", .tool_call_id = "2"});
  const auto hermes = made(request).generate.messages;
  ASSERT_EQ(hermes.size(), 4U);
  EXPECT_EQ(hermes[2],
            (ChatMessage{"assistant",
                         "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Oslo\"}}\n"
                         "</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": "
                         "{\"city\":\"Rome\"}}\n</tool_call>"}));
  EXPECT_EQ(hermes[3],
            (ChatMessage{"user", "<tool_response>\ncold\n</tool_response>\n<tool_response>\nwarm\n</tool_response>"}));
  const auto llama = made(request, {.chat_template = "{{ '<|start_header_id|>' }}"}).generate.messages;
  ASSERT_EQ(llama.size(), 5U);
  EXPECT_THAT(llama[0].content, HasSubstr("\"parameters\": dictionary"));
  EXPECT_THAT(llama[2].content, EndsWith("{\"name\": \"weather\", \"parameters\": {\"city\":\"Rome\"}}"));
  EXPECT_EQ(llama[3], (ChatMessage{"ipython", "cold"}));
}

TEST(Prompt, WhatWasWrittenBackIsReadAgainAsTheSameCalls) {
  Request request = asking("Weather?");
  request.tools = {kWeather};
  const ToolCall call{.id = "", .name = "weather", .arguments = R"({"city":"Oslo"})"};
  request.messages.push_back({.role = "assistant", .tool_calls = {call}});
  request.messages.push_back({.role = "user", .content = "and?"});
  for (const char* chat_template : {"chatml", "llama3"}) {
    const Prompt prompt = made(request, {.chat_template = chat_template});
    AnswerParser parser(prompt.format);
    const Delta delta = parser.feed(prompt.generate.messages.at(2).content);
    ASSERT_EQ(delta.tool_calls.size(), 1U) << chat_template;
    EXPECT_EQ(delta.tool_calls[0].name, call.name);
    EXPECT_EQ(delta.tool_calls[0].arguments, call.arguments);
  }
}

TEST(Prompt, ToolChoiceNoneHidesThem) {
  Request request = asking("hi");
  request.tools = {kWeather};
  request.tool_choice.kind = ToolChoice::Kind::none;
  const Prompt prompt = made(request);
  EXPECT_THAT(prompt.generate.messages, ElementsAre(ChatMessage{"user", "hi"}));
  EXPECT_THAT(prompt.format.tools, IsEmpty());
}

TEST(Prompt, ARequiredCallIsHeldToByAGrammar) {
  Request request = asking("hi");
  request.tools = {kWeather, kClock};
  request.tool_choice.kind = ToolChoice::Kind::required;
  const Prompt prompt = made(request, {.thinks = true});
  EXPECT_TRUE(prompt.format.call_only);
  EXPECT_EQ(prompt.generate.assistant_prefix, "<think>\n\n</think>\n\n");
  GbnfRecogniser recogniser(prompt.generate.grammar);
  EXPECT_TRUE(recogniser.matches(R"({"name": "weather", "arguments": {"city": "Oslo"}})"));
  EXPECT_TRUE(recogniser.matches(R"({"name": "clock", "arguments": {}})"));
  EXPECT_FALSE(recogniser.matches(R"({"name": "clock", "arguments": {"city": "Oslo"}})"));
  EXPECT_FALSE(recogniser.matches(R"({"name": "other", "arguments": {}})"));
  EXPECT_FALSE(recogniser.matches("Hello"));
  EXPECT_THAT(prompt.generate.json_schema, HasSubstr(R"("enum":["weather"])"));

  request.tool_choice = {.kind = ToolChoice::Kind::named, .name = "clock"};
  GbnfRecogniser only(made(request).generate.grammar);
  EXPECT_TRUE(only.matches(R"({"name": "clock", "arguments": {}})"));
  EXPECT_FALSE(only.matches(R"({"name": "weather", "arguments": {"city": "Oslo"}})"));
}

TEST(Prompt, JsonFormatsBecomeGrammarsAndAreSaid) {
  Request request = asking("hi");
  request.format.kind = ResponseFormat::Kind::json_object;
  Prompt prompt = made(request);
  GbnfRecogniser object(prompt.generate.grammar);
  EXPECT_TRUE(object.matches(R"({"a": 1})"));
  EXPECT_FALSE(object.matches("[1]"));
  EXPECT_THAT(prompt.generate.messages.at(0).content, HasSubstr("one JSON object"));

  request.format = {.kind = ResponseFormat::Kind::json_schema, .schema = R"({"enum":["yes","no"]})"};
  prompt = made(request);
  GbnfRecogniser schema(prompt.generate.grammar);
  EXPECT_TRUE(schema.matches(R"("yes")"));
  EXPECT_FALSE(schema.matches(R"("maybe")"));
  EXPECT_EQ(prompt.generate.json_schema, request.format.schema);
  EXPECT_THAT(prompt.generate.messages.at(0).content, EndsWith(request.format.schema));
  EXPECT_THAT(made(request, {.say_format = false}).generate.messages, ElementsAre(ChatMessage{"user", "hi"}));

  request.format.schema = R"({"not":{}})";
  EXPECT_THAT(error_of(request), HasSubstr("response_format: not at #/not"));
}

TEST(Prompt, WithToolsAndAJsonFormatTheAnswerIsACallOrThatJson) {
  Request request = asking("hi");
  request.tools = {kClock};
  request.format = {.kind = ResponseFormat::Kind::json_schema, .schema = R"({"const":1})"};
  GbnfRecogniser either(made(request).generate.grammar);
  EXPECT_TRUE(either.matches("1"));
  EXPECT_TRUE(either.matches("<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>"));
  EXPECT_FALSE(either.matches(R"({"name": "clock", "arguments": {}})"));
  GbnfRecogniser llama(made(request, {.chat_template = "llama3"}).generate.grammar);
  EXPECT_TRUE(llama.matches(R"({"name": "clock", "parameters": {}})"));
}

TEST(Prompt, ThinkChoosesForModelsThatCanReason) {
  Request request = asking("hi");
  EXPECT_FALSE(made(request).format.reasons);
  EXPECT_TRUE(made(request, {.thinks = true}).format.reasons);
  EXPECT_EQ(made(request, {.thinks = true}).generate.assistant_prefix, "");
  request.think = false;
  EXPECT_FALSE(made(request, {.thinks = true}).format.reasons);
  EXPECT_EQ(made(request, {.thinks = true}).generate.assistant_prefix, "<think>\n\n</think>\n\n");
  EXPECT_EQ(made(request).generate.assistant_prefix, "");
  request.think = true;
  EXPECT_TRUE(made(request, {.thinks = true}).format.starts_in_reasoning);
  EXPECT_EQ(made(request, {.thinks = true}).generate.assistant_prefix, "<think>\n");
  EXPECT_FALSE(made(request).format.starts_in_reasoning);
}

TEST(Prompt, GoesOnFromWhatTheAssistantBegan) {
  Request request = asking("Count to five.");
  request.messages.push_back({.role = "assistant", .content = "1, 2,"});
  const Prompt prompt = made(request, {.thinks = true});
  EXPECT_THAT(prompt.generate.messages, ElementsAre(ChatMessage{"user", "Count to five."}));
  EXPECT_EQ(prompt.generate.assistant_prefix, "1, 2,");
}

TEST(Prompt, CarriesStopsAndLogprobs) {
  Request request = asking("hi");
  request.stop = {"END"};
  request.overrides.logprobs = true;
  request.overrides.top_logprobs = 3;
  request.overrides.ignore_eos = true;
  const Prompt prompt = made(request);
  EXPECT_THAT(prompt.generate.stop, ElementsAre("END"));
  EXPECT_TRUE(prompt.generate.logprobs);
  EXPECT_EQ(prompt.generate.top_logprobs, 3);
  EXPECT_TRUE(prompt.generate.ignore_eos);
}

TEST(Prompt, WhatIsWrongIsNamed) {
  EXPECT_THAT(error_of({}), HasSubstr("neither a message nor a prompt"));
  Request request = asking("hi");
  request.messages[0].role = "robot";
  EXPECT_THAT(error_of(request), HasSubstr("messages[0].role is \"robot\""));
  request = asking("hi");
  request.messages[0].tool_calls = {{.id = "", .name = "x", .arguments = ""}};
  EXPECT_THAT(error_of(request), HasSubstr("only the assistant"));
  request = asking("hi");
  request.stop = {""};
  EXPECT_THAT(error_of(request), HasSubstr("stop string is empty"));
  request.stop.assign(17, "x");
  EXPECT_THAT(error_of(request), HasSubstr("17 stop strings"));
  request = asking("hi");
  request.tool_choice.kind = ToolChoice::Kind::required;
  EXPECT_THAT(error_of(request), HasSubstr("there are no tools"));
  request.tools = {kWeather};
  request.tool_choice = {.kind = ToolChoice::Kind::named, .name = "x"};
  EXPECT_THAT(error_of(request), HasSubstr("none of the tools"));
  request.tool_choice = {};
  request.tools = {kWeather, kWeather};
  EXPECT_THAT(error_of(request), HasSubstr("two tools are named weather"));
  request.tools = {{.name = "a b", .description = "", .parameters = ""}};
  EXPECT_THAT(error_of(request), HasSubstr("\"a b\" is not a tool's name"));
  request.tools = {{.name = "a", .description = "", .parameters = "[]"}};
  EXPECT_THAT(error_of(request), HasSubstr("parameters of the tool a are not an object"));
  request.tools = {{.name = "a", .description = "", .parameters = R"({"not":{}})"}};
  request.tool_choice.kind = ToolChoice::Kind::required;
  EXPECT_THAT(error_of(request), HasSubstr("tool a: not at #/not"));
  request = asking("hi");
  request.overrides.top_logprobs = 21;
  EXPECT_THAT(error_of(request), HasSubstr("top_logprobs"));
}

}  // namespace
}  // namespace skep::language
