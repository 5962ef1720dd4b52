#include "agent/correspondence.h"

#include "agent/task_fixture.h"
#include "store/testing_folder.h"

namespace skep::agent {
namespace {

using namespace std::chrono_literals;

class CorrespondenceTest : public TaskFixture {
 protected:
  CorrespondenceTest() {
    roster = *Roster::parse("agents:\n  - {name: ada, tier: fast, system_prompt: x}\n", "test");
    move_in();
  }
  void move_in() {
    store = *store::Store::open({.folder = folder.path()});
    agents = std::make_unique<AgentStore>(*store);
    home = std::make_unique<Home>(loop, *agents, HomeOptions{});
    mail = std::make_unique<Correspondence>(Correspondence::Parts{loop, *home, *agents, dispatcher, tasks, roster},
                                            CorrespondenceOptions{});
  }
  void move_out() {
    mail.reset();
    home.reset();
    agents.reset();
    store.reset();
  }
  std::pair<TaskId, std::shared_ptr<Hearing>> say(const std::string& text, const std::string& conversation = "c",
                                                  const std::string& agent = "ada") {
    auto hearing = std::make_shared<Hearing>();
    TaskRequest request = question(text);
    request.agent = agent;
    TaskId id = mail->say(std::move(request), conversation, hearing);
    settle();
    return {id, hearing};
  }
  std::vector<std::string> remembered(const std::string& conversation = "c") {
    std::vector<std::string> texts;
    auto state = agents->load("ada");
    if (const Conversation* talk = state->conversation(conversation)) {
      for (const auto& message : talk->messages()) texts.push_back(message.content);
    }
    return texts;
  }
  Result<uint64_t> deliver(const std::string& text) {
    Result<uint64_t> result = fail(ErrorCode::internal, "never called");
    mail->deliver("ada", {0, "bob", "c", text, loop.clock().wall(), 0, ""},
                  [&](Result<uint64_t> id) { result = std::move(id); });
    loop.run_ready();
    return result;
  }
  using Texts = std::vector<std::string>;

  store::TestingFolder folder;
  Roster roster;
  CachedTasks tasks{{loop, dispatcher, planner, roster, nullptr, nullptr, nullptr}};
  std::unique_ptr<store::Store> store;
  std::unique_ptr<AgentStore> agents;
  std::unique_ptr<Home> home;
  std::unique_ptr<Correspondence> mail;
};

TEST_F(CorrespondenceTest, AnAgentRemembersItsConversationThroughSleepAndRestart) {
  auto first = say("My name is Bob.").second;
  answer("Hello Bob.");
  ASSERT_TRUE(first->done);
  EXPECT_EQ(remembered(), (Texts{"My name is Bob.", "Hello Bob."}));
  loop.advance(10min);
  EXPECT_EQ(home->phase("ada"), Phase::asleep);
  move_out();
  move_in();
  say("Who am I?");
  const auto& messages = factory.alive("m")->running.begin()->second.request.messages;
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(messages[0].content, "My name is Bob.");
  EXPECT_EQ(messages[1].role, "assistant");
  EXPECT_EQ(home->phase("ada"), Phase::active) << "it stays while its task runs";
  answer("You are Bob.");
  EXPECT_EQ(home->phase("ada"), Phase::idle);
  EXPECT_EQ(remembered().size(), 4U);
}

TEST_F(CorrespondenceTest, WhatFailsOrIsCancelledIsNotRemembered) {
  auto [id, hearing] = say("Forget this.");
  mail->cancel(id);
  settle();
  EXPECT_EQ(generating(), 0U);
  EXPECT_TRUE(remembered().empty());
  EXPECT_EQ(hearing->ends, 0);
  auto failed = say("And this.").second;
  factory.alive("m")->die({ErrorCode::internal, "assertion failed", ""});
  settle();
  EXPECT_TRUE(failed->failure);
  EXPECT_TRUE(remembered().empty());
  EXPECT_EQ(home->phase("ada"), Phase::idle);
}

TEST_F(CorrespondenceTest, OneAfterAnotherInAConversationBesideEachOtherInTwo) {
  say("one");
  say("two");
  EXPECT_EQ(generating(), 1U);
  say("elsewhere", "d");
  EXPECT_EQ(generating(), 2U);
  answer("1");
  settle();
  EXPECT_EQ(generating(), 2U);
  answer("e");
  answer("2");
  EXPECT_EQ(remembered(), (Texts{"one", "1", "two", "2"}));
  EXPECT_EQ(remembered("d"), (Texts{"elsewhere", "e"}));
}

TEST_F(CorrespondenceTest, ACancelledOneInTheLineDoesNotStopIt) {
  say("one");
  TaskId second = say("two").first;
  auto third = say("three").second;
  mail->cancel(second);
  answer("1");
  settle();
  EXPECT_EQ(prompt(), "three");
  answer("3");
  EXPECT_EQ(third->text, "3");
  EXPECT_EQ(remembered(), (Texts{"one", "1", "three", "3"}));
}

TEST_F(CorrespondenceTest, NobodyOfThatNameIsNotFound) {
  EXPECT_EQ(say("hello", "c", "eve").second->failure->error.code, ErrorCode::not_found);
}

TEST_F(CorrespondenceTest, ALetterWaitsThroughACrashAndIsAnsweredOnce) {
  ASSERT_TRUE(deliver("Are you there?"));
  settle();
  EXPECT_EQ(generating(), 1U);
  move_out();  // the daemon dies before the answer
  move_in();
  EXPECT_EQ(agents->load("ada")->mailbox().size(), 1U);
  mail->recover();
  settle();
  while (generating() > 1) answer("of the life before");
  ASSERT_EQ(generating(), 1U);
  EXPECT_EQ(prompt(), "Are you there?");
  answer("Yes.");
  EXPECT_EQ(remembered(), (Texts{"Are you there?", "Yes."}));
  EXPECT_TRUE(agents->load("ada")->mailbox().empty());
}

TEST_F(CorrespondenceTest, ALetterThatCannotBeAnsweredKeepsItsReason) {
  std::vector<std::string> heard;
  mail->on_letter([&](const std::string& agent, const Letter& letter, const Error* failure) {
    heard.push_back(agent + ": " + letter.text + (failure != nullptr ? " failed" : " answered"));
  });
  ASSERT_TRUE(deliver("Impossible."));
  settle();
  factory.alive("m")->die({ErrorCode::internal, "assertion failed", ""});
  settle();
  auto state = agents->load("ada");
  ASSERT_EQ(state->mailbox().size(), 1U);
  EXPECT_NE(state->mailbox().front().failure.find("assertion failed"), std::string::npos);
  EXPECT_EQ(heard, Texts{"ada: Impossible. failed"});
}

TEST_F(CorrespondenceTest, ALettersTaskCanBeCancelledAndTheNextOneIsAnswered) {
  ASSERT_TRUE(deliver("first"));
  ASSERT_TRUE(deliver("second"));
  settle();
  ASSERT_EQ(dispatcher.tasks().size(), 1U);
  mail->cancel(dispatcher.tasks().front().id);
  settle();
  ASSERT_EQ(generating(), 1U);
  EXPECT_EQ(prompt(), "second");
  answer("a");
  auto state = agents->load("ada");
  ASSERT_EQ(state->mailbox().size(), 1U);
  EXPECT_NE(state->mailbox().front().failure.find("cancelled"), std::string::npos);
}

TEST_F(CorrespondenceTest, WhatWaitedForAForgottenAgentIsOver) {
  factory.scripts["m"].load_fails = Error{ErrorCode::unavailable, "no room", ""};
  ASSERT_TRUE(deliver("to the old one"));
  settle();
  EXPECT_EQ(generating(), 0U) << "it is tried again later";
  ASSERT_TRUE(home->forget("ada"));
  mail->replaced("ada");
  factory.scripts["m"].load_fails.reset();
  ASSERT_EQ(*deliver("to the new one"), 1U) << "the same number again";
  loop.advance(10min);
  ASSERT_EQ(generating(), 1U);
  EXPECT_EQ(prompt(), "to the new one");
  answer("a");
  loop.advance(10min);
  EXPECT_EQ(generating(), 0U);
  EXPECT_EQ(remembered(), (Texts{"to the new one", "a"}));
  EXPECT_TRUE(agents->load("ada")->mailbox().empty());
}

TEST_F(CorrespondenceTest, TooManyInOneConversationAreRefused) {
  std::vector<std::shared_ptr<Hearing>> all;
  for (int i = 0; i < 80; ++i) all.push_back(say("message " + std::to_string(i)).second);
  EXPECT_FALSE(all.front()->failure);
  ASSERT_TRUE(all.back()->failure);
  EXPECT_EQ(all.back()->failure->error.code, ErrorCode::overloaded);
}

}  // namespace
}  // namespace skep::agent
