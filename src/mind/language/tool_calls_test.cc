#include "mind/language/tool_calls.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace skep::language {
namespace {

AnswerFormat with_tools(bool reasons = false) {
  return {.tools = {"weather", "search"}, .reasons = reasons, .id_seed = 7};
}

struct Joined {
  std::string content, reasoning;
  std::vector<ToolCall> calls;
  friend bool operator==(const Joined&, const Joined&) = default;
};

void join(Joined& joined, const Delta& delta) {
  joined.content += delta.content;
  joined.reasoning += delta.reasoning;
  for (const auto& call : delta.tool_calls) {
    const auto index = static_cast<size_t>(call.index);
    if (index == joined.calls.size()) {
      EXPECT_FALSE(call.id.empty());
      EXPECT_FALSE(call.name.empty());
      joined.calls.push_back({.id = call.id, .name = call.name, .arguments = ""});
    }
    ASSERT_LT(index, joined.calls.size());
    joined.calls[index].arguments += call.arguments;
  }
}

Joined read(const AnswerFormat& format, const std::vector<std::string>& pieces) {
  AnswerParser parser(format);
  Joined joined;
  for (const std::string& piece : pieces) join(joined, parser.feed(piece));
  join(joined, parser.finish());
  return joined;
}

std::string shown(const Joined& joined) {
  std::string text = joined.content;
  if (!joined.reasoning.empty()) text = "(" + joined.reasoning + ")" + text;
  for (const ToolCall& call : joined.calls) text += " [" + call.name + " " + call.arguments + "]";
  return text;
}

struct Case {
  const char* text;
  const char* expected;  // as shown() has it
};

const Case kCases[] = {
    {"Hello, how are you?", "Hello, how are you?"},
    {"<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>",
     " [weather {\"city\":\"Oslo\"}]"},
    {"I will look.\n\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>",
     "I will look. [weather {\"city\":\"Oslo\"}]"},
    {"<tool_call>{\"name\":\"search\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"weather\",\"arguments\":{}}"
     "</tool_call>",
     " [search {}] [weather {}]"},
    {"<tool_call>{\"name\":\"search\",\"arguments\":{\"q\":\"</tool_call> }{\"}}</tool_call>",
     " [search {\"q\":\"</tool_call> }{\"}]"},
    {"<tool_call>{\"name\":\"search\"}</tool_call>", " [search {}]"},
    {"<tool_call>{\"name\":\"search\",\"arguments\":\"{\\\"q\\\":1}\"}</tool_call>", " [search {\"q\":1}]"},
    {"<tool_call>{\"name\":\"unknown\",\"arguments\":{}}</tool_call>", " [unknown {}]"},
    {"<tool_call>{\"name\":\"search\",\"arguments\":{\"q\":1}}", " [search {\"q\":1}]"},  // never closed
    {"<tool_call>{\"name\":\"search\",\"arguments\":{}}</tool_call>\n\nDone.", "Done. [search {}]"},
    {"{\"name\": \"weather\", \"parameters\": {\"city\": \"Oslo\"}}", " [weather {\"city\":\"Oslo\"}]"},
    {"  {\"type\": \"function\", \"function\": {\"name\": \"weather\", \"arguments\": {}}}", " [weather {}]"},
    {"{\"name\":\"weather\",\"parameters\":{}}; {\"name\":\"search\",\"parameters\":{\"q\":[1,2]}}",
     " [weather {}] [search {\"q\":[1,2]}]"},
    {"<|python_tag|>{\"name\": \"search\", \"parameters\": {\"q\": \"a\"}}", " [search {\"q\":\"a\"}]"},
    // What is none.
    {"<tool_call>\nnot json\n</tool_call>", "<tool_call>\nnot json\n</tool_call>"},
    {"See: <tool_call>{\"name\": 5}</tool_call> ok", "See: <tool_call>{\"name\": 5}</tool_call> ok"},
    {"<tool_call>{\"name\":\"search\",\"arguments\":[1]}</tool_call>",
     "<tool_call>{\"name\":\"search\",\"arguments\":[1]}</tool_call>"},
    {"<tool_call>{\"name\":\"search\",\"argu", "<tool_call>{\"name\":\"search\",\"argu"},
    {"<tool_call>", "<tool_call>"},
    {"<tool_cal", "<tool_cal"},
    {"{\"name\": \"Ann\", \"age\": 3}", "{\"name\": \"Ann\", \"age\": 3}"},  // not a tool's name: an answer
    {"{\"city\": \"Oslo\"}", "{\"city\": \"Oslo\"}"},
    {"{\"name\": \"weather\", \"parameters\": {", "{\"name\": \"weather\", \"parameters\": {"},
    {"{}", "{}"},
    {"Use {\"name\": \"weather\", \"parameters\": {}}", "Use {\"name\": \"weather\", \"parameters\": {}}"},
    {"<|python_tag|>print(1)", "<|python_tag|>print(1)"},
    {"a < b and <b>bold</b> <tool_calls>", "a < b and <b>bold</b> <tool_calls>"},
    {"two  spaces \n and an end \n", "two  spaces \n and an end \n"},
    {" \n", " \n"},
    {"", ""},
};

TEST(AnswerParser, FindsTheCallsOfAllFamiliesAndLetsTheRestThrough) {
  for (const Case& each : kCases) EXPECT_EQ(shown(read(with_tools(), {each.text})), each.expected) << each.text;
}

TEST(AnswerParser, PartsReasoningFromTheAnswer) {
  const Case cases[] = {
      {"<think>\nLet me see.\n</think>\n\nIt is 4.", "(Let me see.)It is 4."},
      {"<think>\n\n</think>\n\nIt is 4.", "It is 4."},
      {"\n<think>a</think><tool_call>{\"name\":\"search\",\"arguments\":{}}</tool_call>", "(a) [search {}]"},
      {"<think>a</think>{\"name\":\"search\",\"parameters\":{}}", "(a) [search {}]"},
      {"<think>cut in the mid", "(cut in the mid)"},
      {"<think>cut in the mark</thi", "(cut in the mark</thi)"},
      {"No thoughts <think>here</think>", "No thoughts <think>here</think>"},
      {"<think>a</think> b <think>c</think>", "(a)b <think>c</think>"},
  };
  for (const Case& each : cases) EXPECT_EQ(shown(read(with_tools(true), {each.text})), each.expected) << each.text;
  EXPECT_EQ(shown(read({.reasons = true}, {"<think>a</think>{\"x\": 1}"})), "(a){\"x\": 1}");
  EXPECT_EQ(shown(read({.reasons = true, .starts_in_reasoning = true}, {"so\n</think>\n4"})), "(so)4");
  EXPECT_EQ(shown(read({}, {"<think>a</think>"})), "<think>a</think>");
}

TEST(AnswerParser, WithoutToolsNothingIsHeldBack) {
  AnswerParser parser({});
  EXPECT_EQ(parser.feed("<tool_call>").content, "<tool_call>");
  EXPECT_EQ(parser.feed(" {").content, " {");
}

TEST(AnswerParser, HandsContentOnAsSoonAsItIsCertain) {
  AnswerParser parser(with_tools());
  EXPECT_EQ(parser.feed("I am").content, "I am");
  EXPECT_EQ(parser.feed(" well <").content, " well");
  EXPECT_EQ(parser.feed("b>").content, " <b>");
  EXPECT_EQ(parser.feed("{\"a\":").content, "{\"a\":");

  AnswerParser json(with_tools());
  EXPECT_EQ(json.feed("{\"n").content, "");
  EXPECT_EQ(json.feed("umber\"").content, "{\"number\"");  // no call begins so
}

TEST(AnswerParser, UnderAGrammarTheArgumentsStream) {
  AnswerFormat format = with_tools();
  format.call_only = true;
  AnswerParser parser(format);
  EXPECT_TRUE(parser.feed("{\"name\": \"wea").tool_calls.empty());
  const Delta first = parser.feed("ther\", \"arguments\": {\"ci");
  ASSERT_EQ(first.tool_calls.size(), 1U);
  EXPECT_EQ(first.tool_calls[0].name, "weather");
  EXPECT_EQ(first.tool_calls[0].id.substr(0, 5), "call_");
  EXPECT_EQ(first.tool_calls[0].arguments, "{\"ci");
  const Delta second = parser.feed("ty\": \"}\\\"\"}");
  ASSERT_EQ(second.tool_calls.size(), 1U);
  EXPECT_EQ(second.tool_calls[0].index, 0);
  EXPECT_TRUE(second.tool_calls[0].id.empty());
  EXPECT_EQ(second.tool_calls[0].arguments, "ty\": \"}\\\"\"}");
  EXPECT_TRUE(parser.feed("}").tool_calls.empty());
  EXPECT_EQ(parser.calls(), 1);
}

TEST(AnswerParser, IdsDifferBetweenCallsAndAnswers) {
  const std::string two = "{\"name\":\"search\",\"parameters\":{}};{\"name\":\"search\",\"parameters\":{}}";
  const Joined one = read(with_tools(), {two});
  EXPECT_NE(one.calls[0].id, one.calls[1].id);
  AnswerFormat other = with_tools();
  other.id_seed = 8;
  EXPECT_NE(read(other, {two}).calls[0].id, one.calls[0].id);
  EXPECT_EQ(one.calls[0].id.size(), 21U);
}

TEST(AnswerParser, MarkupThatNeverEndsBecomesContent) {
  AnswerParser parser(with_tools());
  std::string got = parser.feed("<tool_call>{\"name\":\"search\",\"arguments\":{\"q\":\"").content;
  for (int i = 0; i < 40; ++i) got += parser.feed(std::string(1 << 16, 'x')).content;
  EXPECT_GT(got.size(), AnswerParser::kLongestMarkup);
}

TEST(AnswerParser, TheResultDoesNotDependOnHowTheTextIsCut) {
  std::mt19937 random(5);
  const std::vector<std::string> parts = {"<tool_call>",
                                          "</tool_call>",
                                          "<think>",
                                          "</think>",
                                          "<|python_tag|>",
                                          "{\"name\": \"search\", ",
                                          "\"arguments\": {\"q\": \"x\"}}",
                                          "\"parameters\": {}}",
                                          "{",
                                          "}",
                                          "\"",
                                          "\\",
                                          "\n",
                                          " ",
                                          "text",
                                          "<",
                                          ";",
                                          "\xC3\xA9",
                                          "{\"name\":\"weather\",\"arguments\":{\"a\":[1,{\"b\":null}]}}"};
  const AnswerFormat formats[] = {with_tools(),
                                  with_tools(true),
                                  {.reasons = true},
                                  {},
                                  {.tools = {"search"}, .call_only = true},
                                  {.tools = {"search"}, .reasons = true, .starts_in_reasoning = true}};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    if (round < static_cast<int>(std::size(kCases))) {
      text = kCases[round].text;
    } else {
      for (size_t i = random() % 9; i > 0; --i) text += parts[random() % parts.size()];
    }
    const AnswerFormat& format = formats[random() % std::size(formats)];
    const Joined whole = read(format, {text});
    std::vector<std::string> bytes;
    for (const char c : text) bytes.emplace_back(1, c);
    ASSERT_EQ(shown(read(format, bytes)), shown(whole)) << text;
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random() % 12;
      pieces.push_back(text.substr(at, length));
      at += length;
    }
    ASSERT_TRUE(read(format, pieces) == whole) << text;
  }
}

}  // namespace
}  // namespace skep::language
