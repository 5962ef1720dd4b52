#include "mind/language/conversation_window.h"

#include <gtest/gtest.h>

namespace skep::language {
namespace {

Message said(std::string role, std::string content) { return {std::move(role), std::move(content), {}, {}, {}, {}}; }

std::vector<Message> talk(int turns) {
  std::vector<Message> messages = {said("system", "be brief")};
  for (int i = 0; i < turns; ++i) {
    messages.push_back(said("user", "question " + std::to_string(i)));
    messages.push_back(said("assistant", "answer " + std::to_string(i)));
  }
  messages.push_back(said("user", "the last question"));
  return messages;
}

using Range = ConversationWindow::Range;

TEST(ConversationWindow, CutsTheOlderHalfAndKeepsTheSystemMessageAndTheLast) {
  const ConversationWindow window;
  const auto messages = talk(10);  // 22 messages
  EXPECT_EQ(window.next_cut(messages, std::vector<int>(messages.size(), 10)), (Range{1, 12}));
  std::vector<int> heavy_end(messages.size(), 1);
  heavy_end.back() = 1000;
  EXPECT_EQ(window.next_cut(messages, heavy_end), (Range{1, 19})) << "the last three stay, whatever they weigh";
  EXPECT_EQ(window.next_cut(talk(1), std::vector<int>(4, 10)), std::nullopt);
}

TEST(ConversationWindow, AToolCallStaysWithItsResults) {
  const ConversationWindow window;
  std::vector<Message> messages = {said("user", "a"), said("assistant", "")};
  messages[1].tool_calls.push_back({"1", "f", "{}"});
  messages.push_back(said("tool", "r1"));
  messages.push_back(said("tool", "r2"));
  messages.push_back(said("assistant", "b"));
  for (int i = 0; i < 3; ++i) messages.push_back(said("user", "c"));
  EXPECT_EQ(window.next_cut(messages, {1, 10, 1, 1, 1, 1, 1, 1}), (Range{0, 4})) << "half is reached at the call";
  // The last three begin inside the results: the call stays too.
  const std::vector<Message> ends = {messages[0], messages[1], messages[2], messages[3], messages[4]};
  EXPECT_EQ(window.next_cut(ends, {1, 1, 1, 1, 1}), (Range{0, 1}));
}

TEST(ConversationWindow, SummariesAreAppendedAndTheBeginningStays) {
  ConversationWindow window;
  const auto messages = talk(10);
  window.add_summary(messages, {1, 11}, "first half");
  const auto once = window.lay_out(messages, {});
  ASSERT_EQ(once.size(), 2 + 11U);
  EXPECT_EQ(once[0].content, "be brief");
  EXPECT_EQ(once[1].content, "Summary of earlier parts of this conversation:\nfirst half");
  EXPECT_EQ(once[2].content, "question 5");
  std::vector<Message> next = messages;
  next.push_back(said("assistant", "the last answer"));
  next.push_back(said("user", "one more"));
  ASSERT_TRUE(window.continues(next));
  window.add_summary(next, {11, 16}, "more");
  const auto twice = window.lay_out(next, {});
  EXPECT_EQ(twice[0], once[0]);
  EXPECT_EQ(twice[1], once[1]);
  EXPECT_EQ(twice[2].content, "Summary of earlier parts of this conversation:\nmore");
}

TEST(ConversationWindow, AnEditedHistoryIsAnotherConversation) {
  ConversationWindow window;
  auto messages = talk(10);
  EXPECT_TRUE(window.continues(messages));
  window.add_summary(messages, {1, 11}, "first half");
  EXPECT_TRUE(window.continues(messages));
  messages[3].content += "!";
  EXPECT_FALSE(window.continues(messages));
  EXPECT_FALSE(window.continues(talk(2))) << "shorter than what was summarised";
}

TEST(ConversationWindow, WhatIsRecalledStandsBeforeTheQuestion) {
  const ConversationWindow window;
  const auto out = window.lay_out(talk(1), {"user: my name is Ann"});
  ASSERT_EQ(out.size(), 5U);
  EXPECT_EQ(out[3].content, "Earlier messages of this conversation that may matter here:\n- user: my name is Ann");
  EXPECT_EQ(out[4].content, "the last question");
  std::vector<Message> tools = {said("user", "a"), said("assistant", "calls"), said("tool", "r")};
  EXPECT_EQ(window.lay_out(tools, {"x"})[1].role, "system") << "not between a call and its result";
}

TEST(ConversationWindow, ManySummariesBecomeOne) {
  ConversationWindow window;
  const auto messages = talk(20);
  window.add_summary(messages, {1, 5}, "a");
  window.add_summary(messages, {5, 9}, "b");
  window.add_summary(messages, {9, 13}, "c");
  EXPECT_TRUE(window.too_many_summaries({10, 10, 10}, 1000).empty());
  EXPECT_EQ(window.too_many_summaries({100, 100, 100}, 1000), (std::vector<std::string>{"a", "b"}));
  window.merge_summaries(2, "ab");
  EXPECT_EQ(window.summaries(), (std::vector<std::string>{"ab", "c"}));
  EXPECT_TRUE(window.continues(messages));
}

TEST(ConversationWindow, AnExtractSaysSomethingOfEachMessage) {
  const std::vector<Message> messages = {said("user", "my name is Ann\nand more"),
                                         said("assistant", std::string(300, 'x'))};
  const std::string text = extract(messages, {0, 2}, 100);
  EXPECT_EQ(text, "user: my name is Ann …\nassistant: " + std::string(50, 'x') + " …\n");
  EXPECT_EQ(extract({said("user", std::string(23, 'a') + "ü")}, {0, 1}, 10), "user: " + std::string(23, 'a') + " …\n")
      << "whole characters";
}

}  // namespace
}  // namespace skep::language
