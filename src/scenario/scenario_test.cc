#include "scenario/scenario.h"

#include <gtest/gtest.h>

namespace skep::scenario {
namespace {

constexpr const char* small = R"(name: small
steps: 20
world: {kind: foraging, width: 4, height: 4, patches: 2}
populations:
  a: {agents: 6, mind: planning, horizon: 2}
  b: {agents: 3, mind: random}
)";

std::string mistake(const std::string& text, const std::vector<Override>& overrides = {}) {
  const auto scenario = parse_scenario(text, "s.yaml", overrides);
  return scenario ? "" : scenario.error().text();
}

TEST(Scenario, ReadsWhatIsThereAndDefaultsTheRest) {
  const Scenario scenario = parse_scenario(small, "s.yaml").value();
  EXPECT_EQ(scenario.name, "small");
  EXPECT_EQ(scenario.steps, 20);
  EXPECT_EQ(scenario.agents(), 9);
  EXPECT_EQ(scenario.populations[0].name, "a");
  EXPECT_EQ(scenario.populations[0].horizon, 2);
  EXPECT_EQ(scenario.populations[1].mind, Mind::random);
  EXPECT_TRUE(scenario.coalitions.form);
}

TEST(Scenario, MistakesNameFileLineAndKey) {
  const std::string text = "name: x\nworld:\n  kind: foraging\n  patches: 9\npopulations:\n  a: {agents: 5}\n";
  EXPECT_NE(mistake(text).find("s.yaml:4: world.patches"), std::string::npos) << mistake(text);
  const std::string unknown = "name: x\nworld:\n  kind: foraging\npopulations:\n  a:\n    agentz: 5\n";
  EXPECT_NE(mistake(unknown).find("s.yaml:6: populations.a.agentz"), std::string::npos) << mistake(unknown);
}

TEST(Scenario, AnotherWorldsKeyIsAMistake) {
  EXPECT_NE(mistake("name: x\nworld: {kind: patrol, cue: 0.9}\npopulations: {a: {}}\n").find("cue"), std::string::npos);
}

TEST(Scenario, WhatDoesNotGoTogetherInAPopulationIsAMistake) {
  const auto population = [](const char* keys) {
    return fmt::format("name: x\nworld: {{kind: patrol}}\npopulations: {{a: {{{}}}}}\n", keys);
  };
  for (const char* fine :
       {"precision: edge", "precision: sparse, prune: 0.001", "own: true, learning: 0.5",
        "own: true, own_storage: bfloat16, learning: 0.5", "start: [[1, 2, 1], [0, 0, 3]], habits: [[1, 1, 1, 1, 2]]"})
    EXPECT_EQ(mistake(population(fine)), "") << fine;
  for (const auto& [wrong, says] : std::initializer_list<std::pair<const char*, const char*>>{
           {"learning: 1", "own: true"},
           {"own: true, precision: edge", "precision"},
           {"own_storage: bfloat16", "own: true"},
           {"own: true, own_storage: bfloat16, precision: float64", "float32 agents"},
           {"own: true, mind: random", "no mind"},
           {"start: []", "1 to 1000 rows"},
           {"start: [1, 2]", "a list of 1 to 64"},
           {"habits: [[0, 0]]", "all weights"},
           {"habits: [[1, -1]]", "habits"}})
    EXPECT_NE(mistake(population(wrong)).find(says), std::string::npos) << wrong << ": " << mistake(population(wrong));
}

TEST(Scenario, WeightsAreScaledToDistributions) {
  const auto scenario = parse_scenario(
      "name: x\nworld: {kind: sensors}\npopulations: {a: {start: [[1, 2, 1]], habits: [[3, 1]]}}\n", "s.yaml");
  ASSERT_TRUE(scenario) << scenario.error().text();
  EXPECT_EQ(scenario->populations[0].start, (std::vector<std::vector<double>>{{0.25, 0.5, 0.25}}));
  EXPECT_EQ(scenario->populations[0].habits, (std::vector<std::vector<double>>{{0.75, 0.25}}));
}

TEST(Scenario, AGridThatIsTooLargeToPlanOnIsAMistake) {
  EXPECT_NE(mistake("name: x\nworld: {kind: foraging, width: 16, height: 16}\npopulations: {a: {}}\n").find("s.yaml:2"),
            std::string::npos);
  EXPECT_NE(mistake("name: x\nworld: {kind: patrol, width: 6, height: 6}\npopulations: {a: {}}\n"), "");
}

TEST(Scenario, NeedsAWorldAndAPopulation) {
  EXPECT_NE(mistake("name: x\npopulations: {a: {}}\n"), "");
  EXPECT_NE(mistake("name: x\nworld: {kind: patrol}\npopulations: {}\n"), "");
}

TEST(Scenario, OverridesStandForValuesAndUnknownOnesAreRefused) {
  const Scenario scenario =
      parse_scenario(small, "s.yaml", {{"world.change", "0.25"}, {"populations.a.agents", "7"}}).value();
  EXPECT_EQ(scenario.world.change, 0.25);
  EXPECT_EQ(scenario.populations[0].agents, 7);
  EXPECT_NE(mistake(small, {{"world.chance", "0.25"}}), "");
  EXPECT_NE(mistake(small, {{"steps", "many"}}), "");
}

TEST(Scenario, CellsAreSquaresOrThoseOfTheEarth) {
  const auto with = [](const std::string& coalitions) {
    return std::string(small) + "coalitions: " + coalitions + "\n";
  };
  EXPECT_FALSE(parse_scenario(small, "s.yaml")->coalitions.resolution);
  const Scenario earth =
      parse_scenario(with("{resolution: 9, origin: {latitude: 52.5, longitude: 13.4}, scale: 150}"), "s.yaml").value();
  EXPECT_EQ(earth.coalitions.resolution, 9);
  EXPECT_EQ(earth.coalitions.latitude, 52.5);
  EXPECT_EQ(earth.coalitions.longitude, 13.4);
  EXPECT_EQ(earth.coalitions.scale, 150);
  EXPECT_NE(mistake(with("{resolution: 16}")).find("resolution"), std::string::npos);
  EXPECT_NE(mistake(with("{resolution: 5, cell: 2}")).find("cell"), std::string::npos);
  EXPECT_NE(mistake(with("{scale: 5}")).find("resolution"), std::string::npos);
  EXPECT_NE(mistake(with("{origin: {latitude: 1}}")).find("resolution"), std::string::npos);
  EXPECT_NE(mistake(with("{resolution: 5, origin: {latitude: 86}}")), "");
  EXPECT_NE(mistake(with("{resolution: 1, origin: {latitude: -84}, scale: 100000}")).find("latitude"),
            std::string::npos);
}

TEST(Scenario, SweepsListValues) {
  const Scenario scenario =
      parse_scenario(std::string(small) + "sweep:\n  seeds: 4\n  vary:\n    world.change: [0.1, 0.2]\n", "s.yaml")
          .value();
  EXPECT_EQ(scenario.seeds, 4);
  ASSERT_EQ(scenario.sweep.size(), 1U);
  EXPECT_EQ(scenario.sweep[0].key, "world.change");
  EXPECT_EQ(scenario.sweep[0].values, (std::vector<std::string>{"0.1", "0.2"}));
  EXPECT_NE(mistake(std::string(small) + "sweep: {vary: {world.change: 3}}\n"), "");
}

}  // namespace
}  // namespace skep::scenario
