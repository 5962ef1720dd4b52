#include "mind/language/route.h"

#include <gtest/gtest.h>

namespace skep::language {
namespace {

Request asking(const std::string& text) {
  Request request;
  request.messages = {{.role = "user", .content = text}};
  return request;
}

RouteFacts box() {
  RouteFacts facts;
  facts.tiers = {TierNow{"small", true}, TierNow{"medium", true}, TierNow{"large", true}};
  facts.free_memory = 4_GiB;
  return facts;
}

constexpr const char* kHard =
    "Design a fault-tolerant distributed consensus protocol for a multi-tenant database, compare it with Raft and "
    "Paxos, prove that it is linearizable, and write a detailed specification with failure scenarios.";
constexpr const char* kMedium = "Implement a thread-safe LRU cache in C++ with unit tests.";
constexpr const char* kEasy = "What is the capital of Norway?";

TEST(Route, PutsRealisticPromptsWhereAPersonWould) {
  const std::pair<const char*, Tier> table[] = {
      {"Hello!", Tier::fast},
      {kEasy, Tier::fast},
      {"Is this review positive or negative? Answer with one word: \"Great food, slow service.\"", Tier::fast},
      {"Translate 'good morning' into Italian.", Tier::fast},
      {"Extract all email addresses from: a@b.c, d@e.f", Tier::fast},
      {"Classify this log line as info, warning or error: disk sda1 at 91 %", Tier::fast},
      {"Write a haiku about bees.", Tier::fast},
      {"Write a Python function that merges two sorted lists.", Tier::fast},
      {"Give me three ideas for dinner tonight.", Tier::fast},
      {kMedium, Tier::balanced},
      {"Explain how TCP congestion control works.", Tier::balanced},
      {"Design a REST API for a library with users, books and loans.", Tier::balanced},
      {"Compare PostgreSQL and MongoDB for an event log with 10,000 writes per second and recommend one.",
       Tier::balanced},
      {"Refactor this class so that it can be unit tested, and explain the trade-offs of each change.", Tier::balanced},
      {"Review this contract clause for liability risks and recommend changes.", Tier::balanced},
      {kHard, Tier::deep},
      {"Derive the evidence lower bound step by step, prove that it is a lower bound, and write a comprehensive report "
       "with formulas: log p(x) = ELBO + KL.",
       Tier::deep},
      {"Create a threat model for an OAuth based authentication service, step by step: list assets, analyse "
       "vulnerabilities, evaluate trade-offs of mitigations, and write a detailed report.",
       Tier::deep},
      {"Analyse the root cause of this outage: at 10:02 the replication lag of the database grew, at 10:06 latency "
       "rose. Evaluate three hypotheses, justify which is most likely, and write a detailed post-mortem.",
       Tier::deep},
  };
  for (const auto& [text, tier] : table) {
    const auto decided = route(asking(text), {}, box());
    ASSERT_TRUE(decided);
    EXPECT_STREQ(to_string(*decided->tier), to_string(tier)) << decided->complexity.score << " " << text;
  }
}

TEST(Route, ALongContextOrManyToolsMakeARequestHarder) {
  Request request = asking(kMedium);
  const double plain = complexity_of(request, RouteOptions{}.weights).score;
  request.messages.insert(request.messages.begin(), {.role = "system", .content = std::string(20000, 'x')});
  const double with_context = complexity_of(request, RouteOptions{}.weights).score;
  EXPECT_GT(with_context, plain + 0.05);
  for (int i = 0; i < 5; ++i) request.tools.push_back({.name = "t", .description = "d", .parameters = "{}"});
  EXPECT_GT(complexity_of(request, RouteOptions{}.weights).score, with_context);
}

TEST(Route, AShortAnswerMakesARequestEasier) {
  Request request = asking("Explain how a distributed database replicates its transactions, in detail.");
  const double open = complexity_of(request, RouteOptions{}.weights).score;
  request.overrides.max_tokens = 20;
  EXPECT_LT(complexity_of(request, RouteOptions{}.weights).score, open);
}

TEST(Route, WeightsDecideWhatCounts) {
  const Request request = asking(kHard);
  const Complexity only_context = complexity_of(request, {0, 1, 0, 0});
  EXPECT_LT(only_context.score, 0.05);
  const Complexity only_depth = complexity_of(request, {1, 0, 0, 0});
  EXPECT_GT(only_depth.score, 0.8);
  EXPECT_EQ(complexity_of(request, {0, 0, 0, 0}).score, 0);
}

TEST(Route, AnExplicitChoiceAlwaysWins) {
  RouteFacts facts = box();
  facts.free_memory = 0_B;
  facts.load = 1;
  const auto model = route(asking(kEasy), {.model = "mine"}, facts);
  EXPECT_EQ(model->model, "mine");
  EXPECT_EQ(model->tier, std::nullopt);
  EXPECT_EQ(route(asking(kEasy), {.model = "large"}, facts)->tier, Tier::deep);
  EXPECT_EQ(route(asking(kEasy), {.tier = Tier::deep}, facts)->model, "large");
  const auto agents = route(asking(kHard), {.tier = Tier::fast, .of_agent = true}, facts);
  EXPECT_EQ(agents->model, "small");
  EXPECT_EQ(agents->reason, "fast: the tier fast is the agent's");
}

TEST(Route, DeepNeedsFreeMemoryUnlessItIsResident) {
  RouteFacts facts = box();
  facts.free_memory = 1_GiB;
  EXPECT_EQ(route(asking(kHard), {}, facts)->model, "large");
  facts.tiers[2].resident = false;
  const auto decided = route(asking(kHard), {}, facts);
  EXPECT_EQ(decided->model, "medium");
  EXPECT_NE(decided->reason.find("deep needs 2.00 GiB free and 1.00 GiB are"), std::string::npos) << decided->reason;
  facts.free_memory = 2_GiB;
  EXPECT_EQ(route(asking(kHard), {}, facts)->model, "large");
}

// The score itself is put beside the threshold, so that the table of cues may change.
RouteOptions just_below(const Request& request, double by) {
  RouteOptions options;
  options.balanced_above = complexity_of(request, options.weights).score - by;
  return options;
}

TEST(Route, CloseToAThresholdTheResidentModelAnswers) {
  const Request request = asking(kMedium);
  RouteFacts facts = box();
  facts.tiers[1].resident = false;
  EXPECT_EQ(route(request, {}, facts, just_below(request, 0.04))->model, "small");
  EXPECT_EQ(route(request, {}, facts, just_below(request, 0.06))->model, "medium");
  facts.tiers[0].resident = false;
  EXPECT_EQ(route(request, {}, facts, just_below(request, 0.04))->model, "medium");
}

TEST(Route, CloseToAThresholdABusyBoxTakesTheSmallerTier) {
  const Request request = asking(kMedium);
  RouteFacts facts = box();
  facts.load = 0.8;
  EXPECT_EQ(route(request, {}, facts, just_below(request, 0.09))->model, "small");
  EXPECT_EQ(route(request, {}, facts, just_below(request, 0.11))->model, "medium");
  facts.load = 0.7;
  EXPECT_EQ(route(request, {}, facts, just_below(request, 0.09))->model, "medium");
}

TEST(Route, ATierWithoutAModelIsReplacedByTheNearest) {
  RouteFacts facts = box();
  facts.tiers[1].model.clear();
  EXPECT_EQ(route(asking(kMedium), {}, facts)->model, "small");
  facts.tiers[0].model.clear();
  const auto decided = route(asking(kEasy), {}, facts);
  EXPECT_EQ(decided->model, "large");
  EXPECT_EQ(decided->tier, Tier::deep);
  facts.tiers[2].model.clear();
  EXPECT_EQ(route(asking(kEasy), {}, facts).error().code, ErrorCode::not_found);
}

TEST(Route, ExplainsFactorsWeightsThresholdsAndWhatTippedIt) {
  const auto decided = route(asking(kHard), {}, box());
  for (const char* part : {"reasoning depth", "weight 0.40", "deep above 0.80 with 2.00 GiB free", "resident: small",
                           "seen: asks for a", "-> large (deep): complexity"}) {
    EXPECT_NE(decided->explanation.find(part), std::string::npos) << part << "\n" << decided->explanation;
  }
}

TEST(Route, ReadsOnlyTheEndsOfALongText) {
  std::string text(3'000'000, 'a');
  text += " prove the theorem";
  const Complexity complexity = complexity_of(asking(text), RouteOptions{}.weights);
  EXPECT_GT(complexity.factors[0], 0.7);
  EXPECT_EQ(complexity.factors[1], 1);
}

}  // namespace
}  // namespace skep::language
