// What ships: rosters/edge-131.yaml and examples/tasks.jsonl belong together.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "agent/roster.h"
#include "base/json.h"

namespace skep::agent {
namespace {

namespace json = boost::json;

const std::string kRoot = SKEP_TEST_DATA "/../..";

Roster roster() {
  auto read = Roster::read(kRoot + "/rosters/edge-131.yaml");
  EXPECT_TRUE(read) << read.error().text();
  return read ? std::move(*read) : Roster();
}

int64_t words(const std::string& text) {
  std::istringstream in(text);
  return std::distance(std::istream_iterator<std::string>(in), {});
}

TEST(EdgeRoster, HasThirtySixDeepFiftyNineBalancedAndThirtySixFastAgents) {
  std::map<std::string, int> tiers;
  const Roster shipped = roster();
  for (const AgentSpec& agent : shipped.agents()) ++tiers[agent.tier];
  EXPECT_EQ(tiers, (std::map<std::string, int>{{"balanced", 59}, {"deep", 36}, {"fast", 36}}));
}

TEST(EdgeRoster, GivesEveryAgentAPromptATitleAndTasksOfItsOwn) {
  std::set<std::string> prompts, titles;
  const Roster shipped = roster();
  for (const AgentSpec& agent : shipped.agents()) {
    EXPECT_TRUE(prompts.insert(agent.system_prompt).second) << agent.name;
    EXPECT_TRUE(titles.insert(agent.title).second) << agent.name;
    EXPECT_GE(words(agent.system_prompt), 30) << agent.name;
    EXPECT_LE(words(agent.system_prompt), 60) << agent.name;
    EXPECT_FALSE(agent.task_types.empty()) << agent.name;
  }
  EXPECT_NEAR(static_cast<double>(words(shipped.preamble())), 220, 25);
}

TEST(EdgeTasks, NameOnlyAgentsThatExistAndLeaveNoneWithoutTwo) {
  const Roster shipped = roster();
  std::map<std::string, int> tasks;
  std::set<std::string> ids, inputs;
  int automatic = 0;
  std::ifstream in(kRoot + "/examples/tasks.jsonl");
  std::string line;
  while (std::getline(in, line)) {
    const auto parsed = parse_json(line, "tasks.jsonl");
    ASSERT_TRUE(parsed) << parsed.error().text();
    const json::object& task = parsed->as_object();
    EXPECT_TRUE(ids.insert(task.at("id").as_string().c_str()).second) << line;
    EXPECT_TRUE(inputs.insert(task.at("input").as_string().c_str()).second) << line;
    if (task.contains("model") && task.at("model").as_string() == "auto") ++automatic;
    if (!task.contains("agent")) continue;
    const std::string agent = task.at("agent").as_string().c_str();
    EXPECT_NE(shipped.find(agent), nullptr) << agent;
    ++tasks[agent];
  }
  EXPECT_GE(ids.size(), 262U);
  EXPECT_GE(automatic, 5);
  for (const AgentSpec& agent : shipped.agents()) EXPECT_GE(tasks[agent.name], 2) << agent.name;
}

}  // namespace
}  // namespace skep::agent
