#include "agent/context_keeper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/simulated_event_loop.h"

namespace skep::agent {
namespace {

using language::Message;
using std::chrono::milliseconds;

Message said(std::string role, std::string content) { return {std::move(role), std::move(content), {}, {}, {}, {}}; }

std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(std::tolower(c));
    } else if (!word.empty()) {
      words.insert(std::exchange(word, {}));
    }
  }
  return words;
}

// A tokenizer of one token per word, a summariser that keeps the first words, and a memory that looks for common words.
struct FakeServices final : ContextServices {
  explicit FakeServices(EventLoop& l) : loop(l) {}
  int per_byte = 0;  // tokens, of a vocabulary that has hardly a word; 0: one token per word
  static int tokens_of(const std::vector<Message>& messages) {
    int tokens = 2;
    for (const Message& m : messages) {
      tokens += 3;
      for (size_t i = 0; i < m.content.size(); ++i)
        tokens += m.content[i] == ' ' || m.content[i] == '\n' || i == 0 ? 1 : 0;
    }
    return tokens;
  }
  void count(const std::vector<Message>& messages, std::function<void(Result<int>)> done) override {
    int tokens = tokens_of(messages);
    if (per_byte > 0) {
      tokens = 2;
      for (const Message& m : messages) tokens += 3 + per_byte * static_cast<int>(m.content.size());
    }
    loop.post([done, tokens] { done(tokens); });
  }
  void summarise(std::string text, int tokens, std::function<void(Result<std::string>)> done) override {
    summarised.push_back(text);
    loop.after(milliseconds(50), [this, text, tokens, done] {
      if (broken) return done(fail(ErrorCode::unavailable, "no fast model"));
      std::string summary;
      int words = 0;
      for (const char c : text) {
        if (c == ' ' && ++words == tokens / 2) break;
        summary += c;
      }
      done(summary);
    });
  }
  void archive(const std::string& conversation, std::vector<std::string> texts, std::function<void()> done) override {
    auto& all = kept[conversation];
    all.insert(all.end(), texts.begin(), texts.end());
    loop.post(done);
  }
  void recall(const std::string& conversation, const std::string& question, size_t most,
              std::function<void(std::vector<std::string>)> done) override {
    std::vector<std::pair<size_t, std::string>> found;
    const auto asked = words_of(question);
    for (const std::string& text : kept[conversation]) {
      size_t common = 0;
      for (const std::string& word : words_of(text)) common += asked.contains(word) ? 1 : 0;
      found.emplace_back(common, text);
    }
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::string> best;
    for (size_t i = 0; i < std::min(most, found.size()); ++i) best.push_back(found[i].second);
    loop.post([done, best] { done(best); });
  }

  EventLoop& loop;
  bool broken = false;
  std::vector<std::string> summarised;
  std::map<std::string, std::vector<std::string>> kept;
};

class ContextKeeperTest : public testing::Test {
 protected:
  void run() {
    do {
      loop.run_ready();
    } while (loop.advance_to_next_timer());
    loop.run_ready();
  }
  Result<ContextKeeper::Fitted> prepare(const std::vector<Message>& messages, int budget, bool wait = true) {
    std::optional<Result<ContextKeeper::Fitted>> answer;
    keeper.prepare("me/agent/1", messages, budget, services,
                   [&](Result<ContextKeeper::Fitted> f) { answer = std::move(f); });
    loop.run_ready();
    if (wait) run();
    EXPECT_TRUE(answer);
    return answer ? std::move(*answer) : fail(ErrorCode::internal, "no answer yet");
  }
  static std::string all_text(const std::vector<Message>& messages) {
    std::string text;
    for (const Message& m : messages) text += m.content + "\n";
    return text;
  }

  SimulatedEventLoop loop;
  std::shared_ptr<FakeServices> services = std::make_shared<FakeServices>(loop);
  ContextKeeper keeper{loop, {}};
};

TEST_F(ContextKeeperTest, AShortConversationGoesOnUntouched) {
  const std::vector<Message> messages = {said("system", "be brief"), said("user", "hello")};
  const auto fitted = prepare(messages, 1000);
  ASSERT_TRUE(fitted);
  EXPECT_EQ(fitted->messages, messages);
  EXPECT_EQ(fitted->tokens, FakeServices::tokens_of(messages));
}

TEST_F(ContextKeeperTest, SummariesNeverCrowdOutAConversationWhoseTokensAreShort) {
  services->per_byte = 1;
  std::vector<Message> messages = {said("system", "be brief")};
  for (int turn = 0; turn < 200; ++turn) {
    messages.push_back(said("user", "what does sensor number " + std::to_string(turn) + " of the pump read now?"));
    const auto fitted = prepare(messages, 1000);
    ASSERT_TRUE(fitted) << "turn " << turn << ": " << fitted.error().text();
    EXPECT_LE(fitted->tokens, 1000);
    EXPECT_EQ(fitted->messages.back(), messages.back());
    messages.push_back(said("assistant", "it reads " + std::to_string(turn) + " degrees"));
  }
}

TEST_F(ContextKeeperTest, ANearlyFullOneIsSummarisedInTheBackground) {
  std::vector<Message> messages = {said("system", "be brief")};
  for (int i = 0; i < 10; ++i)
    messages.push_back(
        said(i % 2 == 0 ? "user" : "assistant", "some words that are said in turn " + std::to_string(i)));
  messages.push_back(said("user", "and now"));
  const int tokens = FakeServices::tokens_of(messages);
  const auto first = prepare(messages, tokens + 5, false);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->messages, messages) << "it fits: nobody waits";
  EXPECT_EQ(first->tokens, tokens);
  run();
  EXPECT_EQ(keeper.counters().summaries, 1);
  messages.push_back(said("assistant", "yes"));
  messages.push_back(said("user", "more"));
  const auto second = prepare(messages, tokens + 5);
  ASSERT_TRUE(second);
  EXPECT_GT(second->summarised, 3U);
  EXPECT_LT(second->messages.size(), messages.size());
  EXPECT_EQ(second->messages[0].content, "be brief");
  EXPECT_EQ(second->messages.back().content, "more");
  EXPECT_EQ(keeper.counters().waited, 0);
}

TEST_F(ContextKeeperTest, WhatIsOverTheBudgetWaitsForItsSummary) {
  std::vector<Message> messages;
  for (int i = 0; i < 40; ++i)
    messages.push_back(
        said(i % 2 == 0 ? "user" : "assistant", "some words that are said in turn " + std::to_string(i)));
  messages.push_back(said("user", "and now"));
  const auto fitted = prepare(messages, 250);
  ASSERT_TRUE(fitted) << fitted.error().text();
  EXPECT_LE(fitted->tokens, 250);
  EXPECT_EQ(fitted->tokens, FakeServices::tokens_of(fitted->messages)) << "exactly what is sent";
  EXPECT_EQ(keeper.counters().waited, 1);
}

TEST_F(ContextKeeperTest, WithoutASummariserAnExtractStandsThere) {
  services->broken = true;
  std::vector<Message> messages;
  for (int i = 0; i < 40; ++i)
    messages.push_back(
        said(i % 2 == 0 ? "user" : "assistant", "some words that are said in turn " + std::to_string(i)));
  messages.push_back(said("user", "and now"));
  const auto fitted = prepare(messages, 400);
  ASSERT_TRUE(fitted) << fitted.error().text();
  EXPECT_NE(all_text(fitted->messages).find("user: some words"), std::string::npos);
  EXPECT_GT(keeper.counters().extracts, 0);
}

TEST_F(ContextKeeperTest, LastMessagesThatAreTooLongAreRefusedWithTheNumbers) {
  std::string endless;
  for (int i = 0; i < 500; ++i) endless += "word ";
  const auto fitted = prepare({said("user", "a"), said("assistant", "b"), said("user", endless)}, 100);
  ASSERT_FALSE(fitted);
  EXPECT_EQ(fitted.error().code, ErrorCode::too_large);
}

// The promise of the window: 500 turns in 2,000 tokens, and what was said first is there when it is asked for.
TEST_F(ContextKeeperTest, AfterFiveHundredTurnsTheBeginningCanBeAskedFor) {
  constexpr int kBudget = 2000;
  std::vector<Message> messages = {said("system", "you are a patient listener")};
  std::vector<Message> before;
  int changes_of_beginning = 0;
  for (int turn = 0; turn < 500; ++turn) {
    std::string words = fmt::format("in turn {} we talk about subject{} and its detail{}", turn, turn % 37, turn);
    if (turn == 2) words = "remember that the password of the cellar is xyzzy";
    messages.push_back(said("user", words));
    const auto fitted = prepare(messages, kBudget);
    ASSERT_TRUE(fitted) << turn << ": " << fitted.error().text();
    ASSERT_LE(FakeServices::tokens_of(fitted->messages), kBudget) << turn;
    ASSERT_EQ(fitted->messages.front().content, "you are a patient listener");
    ASSERT_EQ(fitted->messages.back().content, words);
    // The messages before the recalled ones are those of the turn before, and more; else the beginning changed.
    size_t same = 0;
    while (same < before.size() && same < fitted->messages.size() && before[same] == fitted->messages[same]) ++same;
    changes_of_beginning += same + 3 < before.size() ? 1 : 0;
    before = fitted->messages;
    messages.push_back(said("assistant", "I hear you about " + std::to_string(turn)));
  }
  messages.push_back(said("user", "what is the password of the cellar?"));
  const auto fitted = prepare(messages, kBudget);
  ASSERT_TRUE(fitted);
  EXPECT_NE(all_text(fitted->messages).find("xyzzy"), std::string::npos);
  EXPECT_GE(fitted->recalled, 1U);
  EXPECT_EQ(keeper.counters().waited, 0) << "summaries were made ahead of need";
  EXPECT_LT(changes_of_beginning, 500 / 10) << "the prefix is stable between summaries";
}

TEST_F(ContextKeeperTest, ConversationsAreBounded) {
  ContextKeeperOptions options;
  options.conversations = 3;
  ContextKeeper small(loop, options);
  for (int i = 0; i < 20; ++i) {
    small.prepare("c" + std::to_string(i), {said("user", "hi")}, 100, services,
                  [](const Result<ContextKeeper::Fitted>&) {});
  }
  run();
  EXPECT_EQ(small.counters().fitted, 20);
}

TEST_F(ContextKeeperTest, NothingOfAnotherConversationThatBeganAlikeIsRecalled) {
  services->kept["me/agent/1"] = {"user: the secret word is zebra", "user: and now the word"};
  std::vector<Message> messages = {said("system", "be brief")};
  for (int i = 0; i < 30; ++i)
    messages.push_back(said(i % 2 == 0 ? "user" : "assistant", "some words said in turn " + std::to_string(i)));
  messages.push_back(said("user", "what is the secret word"));
  const auto fitted = prepare(messages, 200);
  ASSERT_TRUE(fitted);
  EXPECT_GT(fitted->recalled, 0U);
  EXPECT_EQ(all_text(fitted->messages).find("zebra"), std::string::npos);
}

TEST(ContextKeeperKey, TellsConversationsApartByTheirBeginning) {
  const std::vector<Message> a = {said("system", "s"), said("user", "one")},
                             b = {said("system", "s"), said("user", "two")};
  auto longer = a;
  longer.push_back(said("assistant", "x"));
  EXPECT_EQ(ContextKeeper::key_of("c", "ag", a), ContextKeeper::key_of("c", "ag", longer));
  EXPECT_NE(ContextKeeper::key_of("c", "ag", a), ContextKeeper::key_of("c", "ag", b));
  EXPECT_NE(ContextKeeper::key_of("c", "ag", a), ContextKeeper::key_of("d", "ag", a));
}

}  // namespace
}  // namespace skep::agent
