#include "agent/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::agent {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(std::string_view text) {
  const auto roster = Roster::parse(text, "team.yaml");
  return roster ? "" : roster.error().text();
}

TEST(Roster, ReadsAgentsInTheOrderOfTheFile) {
  const auto roster = Roster::parse(R"(
preamble: |
  You share one machine.
agents:
  - name: log-triage
    title: Log triage
    tier: fast
    priority: high
    task_types: [extraction, analysis]
    tools: grep
    weight: 2.5
    limits: {tokens_per_minute: 6000, concurrent: 2}
    system_prompt: Sort the lines.
  - {name: judge, tier: deep, system_prompt: Weigh.}
  - {name: bee-1, mind: belief}
)",
                                    "team.yaml");
  ASSERT_TRUE(roster) << roster.error().text();
  EXPECT_EQ(roster->preamble(), "You share one machine.\n");
  ASSERT_EQ(roster->agents().size(), 3U);
  const AgentSpec& triage = roster->agents()[0];
  EXPECT_EQ(triage.title, "Log triage");
  EXPECT_EQ(triage.priority, scheduling::Priority::high);
  EXPECT_THAT(triage.task_types, ElementsAre("extraction", "analysis"));
  EXPECT_THAT(triage.tools, ElementsAre("grep"));
  EXPECT_EQ(triage.weight, 2.5);
  EXPECT_EQ(triage.tokens_per_minute, 6000);
  EXPECT_EQ(triage.concurrent, 2);
  EXPECT_EQ(roster->find("judge")->title, "judge");
  EXPECT_EQ(roster->find("judge")->priority, scheduling::Priority::normal);
  EXPECT_EQ(roster->find("bee-1")->mind, "belief");
  EXPECT_EQ(roster->find("nobody"), nullptr);
}

TEST(Roster, NothingIsPublicUnlessItSaysSo) {
  const std::string agents =
      "agents:\n  - {name: a, tier: fast, system_prompt: x}\n"
      "  - {name: b, tier: fast, system_prompt: y, public: true}\n";
  const auto roster = Roster::parse(agents, "team.yaml");
  ASSERT_TRUE(roster) << roster.error().text();
  EXPECT_FALSE(roster->preamble_is_public());
  EXPECT_FALSE(roster->find("a")->is_public);
  EXPECT_TRUE(roster->find("b")->is_public);
  EXPECT_TRUE(Roster::parse("public: true\n" + agents, "team.yaml")->preamble_is_public());
}

TEST(Roster, NamesFileLineKeyAndTheNearestKnownKey) {
  EXPECT_EQ(refusal("agents:\n  - name: a\n    tier: fast\n    system_promt: x\n"),
            "team.yaml:2: agents[0]: 'system_prompt' is missing\n"
            "team.yaml:4: agents[0].system_promt: is no key that is known here (did you mean 'system_prompt'?)");
}

TEST(Roster, RefusesWrongValues) {
  const auto with = [](const std::string& line) {
    return refusal("agents:\n- name: a\n  system_prompt: x\n  " + line + "\n");
  };
  EXPECT_THAT(with("tier: quick"), HasSubstr("team.yaml:4: agents[0].tier: 'quick' is none of fast, balanced, deep"));
  EXPECT_THAT(with("{}"), HasSubstr("team.yaml"));
  EXPECT_THAT(with("tier: fast\n  priority: urgent"), HasSubstr("agents[0].priority"));
  EXPECT_THAT(with("tier: fast\n  weight: 0"), HasSubstr("must be 0.01 to 100"));
  EXPECT_THAT(with("tier: fast\n  limits: {concurrent: -1}"), HasSubstr("agents[0].limits.concurrent"));
  EXPECT_THAT(with("tier: fast\n  mind: telepathy"), HasSubstr("agents[0].mind"));
  EXPECT_EQ(with("tier: fast"), "");
}

TEST(Roster, RefusesNamesThatAreNoneOrTaken) {
  const auto named = [](const std::string& name) {
    return refusal("agents:\n- {name: " + name + ", tier: fast, system_prompt: x}\n");
  };
  for (const char* name : {"Log-Triage", "a_b", "-a", "a-", "a--b", "'a b'", "größe"}) {
    EXPECT_THAT(named(name), HasSubstr("kebab-case")) << name;
  }
  for (const char* name : {"auto", "fast", "balanced", "deep"}) EXPECT_THAT(named(name), HasSubstr("tier")) << name;
  EXPECT_THAT(named(std::string(65, 'a')), HasSubstr("at most 64"));
  EXPECT_EQ(named("a-1"), "");
}

TEST(Roster, RefusesTwoAgentsOfOneNameNamingBoth) {
  EXPECT_EQ(refusal("agents:\n- {name: a, tier: fast, system_prompt: x}\n- {name: a, tier: deep, system_prompt: y}\n"),
            "team.yaml:3: agents[1]: there are two agents 'a'; the other is at team.yaml:2");
}

TEST(Roster, WantsAListOfAgents) {
  EXPECT_THAT(refusal(""), HasSubstr("'agents' is missing"));
  EXPECT_THAT(refusal("agents: {a: 1}"), HasSubstr("must be a list"));
  EXPECT_THAT(refusal("agnets: []"), HasSubstr("did you mean 'agents'?"));
}

TEST(Roster, BoundsPrompts) {
  EXPECT_THAT(refusal("agents:\n- {name: a, tier: fast, system_prompt: " + std::string(40'000, 'x') + "}\n"),
              HasSubstr("is 40000 bytes long; at most 32768 are allowed"));
}

TEST(Roster, SaysThatTheFileIsMissing) {
  EXPECT_EQ(Roster::read("/nowhere/team.yaml").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace skep::agent
