// Requests whose bytes came before: what is told apart, what is kept, and that clients see no difference.

#include "api/known_responses.h"

#include <gtest/gtest.h>

#include <regex>

#include "api/testing/server_fixture.h"

namespace skep::api::testing {
namespace {

// Has a ticket for every task, and honours those of its present basis.
class FakeKnown final : public agent::KnownAnswers {
 public:
  std::optional<Ticket> ticket(agent::TaskId) const override {
    Ticket ticket;
    ticket.basis = basis;
    ticket.route = {"tiny-chat", "fast", "", 0};
    return gives ? std::optional(ticket) : std::nullopt;
  }
  std::optional<Hit> take(const Ticket& ticket) override {
    if (ticket.basis != basis) return std::nullopt;
    ++taken;
    return Hit{900, {agent::CacheNote::State::hit, "memory", std::chrono::seconds(5)}};
  }
  bool gives = true;
  uint64_t basis = 1;
  int taken = 0;
};

HttpRequest request(std::string body, Headers headers = {}, std::string caller = "ann") {
  HttpRequest r;
  r.method = "POST";
  r.path = "/v1/chat/completions";
  r.body = std::move(body);
  r.headers = std::move(headers);
  r.caller.name = std::move(caller);
  return r;
}

TEST(KnownResponses, WhatDecidesAnAnswerTellsRequestsApart) {
  FakeKnown answers;
  const KnownResponses known(&answers);
  const auto key = known.key_of(request("{}", {{"User-Agent", "one"}}));
  ASSERT_TRUE(key);
  EXPECT_EQ(key, known.key_of(request("{}", {{"User-Agent", "two"}, {"Accept", "*/*"}})));
  EXPECT_NE(key, known.key_of(request("{ }")));
  EXPECT_NE(key, known.key_of(request("{}", {}, "bob"))) << "each API key has its own answers";
  EXPECT_NE(key, known.key_of(request("{}", {{"x-skep-agent", "log-triage"}})));
  EXPECT_NE(key, known.key_of(request("{}", {{"cache-control", "no-cache"}})));
  EXPECT_EQ(known.key_of(request("{}", {{"X-Skep-Agent", "a"}})), known.key_of(request("{}", {{"x-skep-agent", "a"}})));
  auto other = request("{}");
  other.path = "/v1/completions";
  EXPECT_NE(key, known.key_of(other));
  EXPECT_FALSE(known.key_of(request(std::string(1 << 20, ' ')))) << "too long to be worth it";
  EXPECT_FALSE(KnownResponses(nullptr).key_of(request("{}")));
}

TEST(KnownResponses, WithoutATicketNothingIsKeptAndAStaleOneIsDropped) {
  FakeKnown answers;
  KnownResponses known(&answers);
  const auto key = *known.key_of(request("{}"));
  answers.gives = false;
  known.keep(key, 1, "body");
  EXPECT_FALSE(known.find(key));
  answers.gives = true;
  known.keep(key, 1, "body");
  ASSERT_TRUE(known.find(key));
  EXPECT_EQ(known.find(key)->known->body, "body");
  ++answers.basis;
  EXPECT_FALSE(known.find(key)) << "the catalog has changed";
  EXPECT_EQ(known.size(), Bytes(0));
  --answers.basis;
  EXPECT_FALSE(known.find(key)) << "and it does not come back by itself";
}

TEST(KnownResponses, KeepsToItsBytesAndWhatWasUsedLast) {
  FakeKnown answers;
  KnownResponses known(&answers, 64_KiB);
  std::vector<KnownResponses::Key> keys;
  for (int i = 0; i < 100; ++i) {
    keys.push_back(*known.key_of(request(std::to_string(i))));
    known.keep(keys.back(), 1, std::string(2000, 'x'));
    EXPECT_TRUE(known.find(keys.front())) << i;
    EXPECT_LE(known.size(), 64_KiB);
  }
  EXPECT_FALSE(known.find(keys[1]));
  EXPECT_TRUE(known.find(keys.back()));
}

class KnownResponsesServer : public ServerFixture {
 protected:
  KnownResponsesServer() { options.known = &answers; }
  RawResponse ask(const char* body = kChat) {
    auto client = connect();
    client.post("/v1/chat/completions", body);
    return client.response();
  }
  // Without its id and its time.
  static std::string lasting(const std::string& body) {
    return std::regex_replace(body, std::regex(R"re(^\{"id":"chatcmpl-[0-9a-f]+-\d+",|"created":\d+,)re"), "");
  }
  FakeKnown answers;
};

TEST_F(KnownResponsesServer, TheSecondAnswerIsTheFirstUnderAnotherId) {
  start();
  const auto first = ask();
  ASSERT_EQ(first.status, 200);
  EXPECT_EQ(answers.taken, 0);
  const auto second = ask();
  EXPECT_EQ(answers.taken, 1);
  ASSERT_EQ(second.status, 200);
  EXPECT_NE(second.body, first.body) << "ids are never given twice";
  EXPECT_EQ(lasting(second.body), lasting(first.body));
  EXPECT_NE(lasting(first.body), first.body);
  EXPECT_EQ(second.header("Content-Type"), first.header("Content-Type"));
  EXPECT_EQ(second.header("X-Skep-Model"), "tiny-chat");
  EXPECT_EQ(second.header("X-Skep-Tier"), "fast");
  EXPECT_EQ(second.header("X-Skep-Task"), "900");
  EXPECT_EQ(second.header("X-Skep-Cache"), "hit; level=memory; age=5");
  ++answers.basis;
  EXPECT_EQ(ask().header("X-Skep-Cache"), "") << "the long way";
}

TEST_F(KnownResponsesServer, StreamsConversationsAndLongHistoriesGoTheLongWay) {
  start();
  const char* several = R"({"model":"tiny-chat","n":2,"messages":[{"role":"user","content":"hi"}]})";
  const char* remembered = R"({"model":"tiny-chat","conversation":"c","messages":[{"role":"user","content":"hi"}]})";
  const char* history =
      R"({"model":"tiny-chat","messages":[{"role":"user","content":"1"},{"role":"assistant","content":"2"},)"
      R"({"role":"user","content":"3"},{"role":"assistant","content":"4"},{"role":"user","content":"5"}]})";
  for (const char* body : {kChatStream, several, remembered, history}) {
    ask(body);
    ask(body);
  }
  EXPECT_EQ(answers.taken, 0);
}

}  // namespace
}  // namespace skep::api::testing
