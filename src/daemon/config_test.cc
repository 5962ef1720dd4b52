#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::daemon {
namespace {

using ::testing::HasSubstr;
using Environment = std::map<std::string, std::string>;

Config read(std::string_view text, const Environment& environment = {}) {
  auto config = parse_config(text, "skep.yaml", environment);
  EXPECT_TRUE(config.has_value()) << config.error().text();
  return config ? *config : Config{};
}

std::string refusal(std::string_view text, const Environment& environment = {}) {
  auto config = parse_config(text, "skep.yaml", environment);
  EXPECT_FALSE(config.has_value()) << text;
  return config ? "" : config.error().text();
}

TEST(ConfigTest, AnEmptyFileGivesTheDefaults) {
  Config config = read("");
  EXPECT_EQ(config.listen, "127.0.0.1:8051");
  EXPECT_FALSE(config.memory.budget.has_value());
  EXPECT_EQ(config.tiers.at("deep").models.front(), "deepseek-r1:8b");
  EXPECT_EQ(config.engines.max_generating, 2);
}

TEST(ConfigTest, ReadsEveryKindOfValue) {
  Config config = read(R"(
listen: 127.0.0.1:9000
memory: {budget: 4GiB, unified: true}
model_folders: [a, /b]
models:
  "deepseek-r1:8b": {path: /m/d.gguf, context: 8192, pin: true, keep_alive: 1h}
remotes:
  - {name: cloud, url: "https://api.example.org", slots: 8}
tiers:
  fast: {models: [tiny], max_tokens: 128}
engines: {slots: 8, keep_alive: 0s}
routing: {deep_above: 0.9}
generation: {task_types: {creative: {temperature: 1.2, top_p: 0.99}}}
api:
  keys: [{name: ops, role: admin, env: OPS_KEY}]
)");
  EXPECT_EQ(config.memory.budget, 4_GiB);
  EXPECT_TRUE(config.memory.unified);
  EXPECT_EQ(config.model_folders, (std::vector<std::string>{"a", "/b"}));
  EXPECT_EQ(config.models.at("deepseek-r1:8b").context, 8192);
  EXPECT_EQ(config.models.at("deepseek-r1:8b").keep_alive, std::chrono::hours(1));
  EXPECT_EQ(config.remotes.at(0).slots, 8);
  EXPECT_EQ(config.tiers.at("fast").max_tokens, 128);
  EXPECT_EQ(config.tiers.at("deep").max_tokens, 4096);  // untouched
  EXPECT_EQ(config.engines.keep_alive, Duration::zero());
  EXPECT_EQ(config.generation.task_types.at("creative").temperature, 1.2);
  EXPECT_EQ(config.generation.task_types.size(), 4U);
  EXPECT_EQ(config.api.keys.at(0).role, "admin");
}

TEST(ConfigTest, AnUnknownKeyIsRefusedWithPlaceAndTheNearestKnownOne) {
  EXPECT_THAT(refusal("memory:\n  bugdet: 4GiB\n"),
              AllOf(HasSubstr("skep.yaml:2"), HasSubstr("memory.bugdet"), HasSubstr("budget")));
  EXPECT_THAT(refusal("lissen: 1\n"), AllOf(HasSubstr("skep.yaml:1"), HasSubstr("listen")));
}

TEST(ConfigTest, AWrongValueNamesFileLineKeyAndWhatIsAllowed) {
  EXPECT_THAT(refusal("\nengines: {kv_type: f61}\n"),
              AllOf(HasSubstr("skep.yaml:2"), HasSubstr("engines.kv_type"), HasSubstr("f16")));
  EXPECT_THAT(refusal("memory: {budget: lots}"), HasSubstr("memory.budget"));
  EXPECT_THAT(refusal("engines: {slots: many}"), HasSubstr("engines.slots"));
  EXPECT_THAT(refusal("engines: 7"), HasSubstr("engines"));
  EXPECT_THAT(refusal("routing: {deep_above: 0.2}"), HasSubstr("balanced_above"));
  EXPECT_THAT(refusal("tiers: {medium: {models: [a]}}"), HasSubstr("medium"));
  EXPECT_THAT(refusal("generation: {task_types: {poetry: {top_p: 1}}}"), HasSubstr("poetry"));
  EXPECT_THAT(refusal("api: {keys: [{name: x}]}"), HasSubstr("sha256"));
  EXPECT_THAT(refusal("remotes: [{name: x, url: 'ftp://y'}]"), HasSubstr("ftp://y"));
}

TEST(ConfigTest, EnvironmentVariablesOverrideTheFile) {
  Config config = read("engines: {slots: 2}",
                       {{"SKEP_ENGINES_SLOTS", "6"}, {"SKEP_BUDGET", "2GiB"}, {"SKEP_MODEL_FOLDERS", "x,y"}});
  EXPECT_EQ(config.engines.slots, 6);
  EXPECT_EQ(config.memory.budget, 2_GiB);
  EXPECT_EQ(config.model_folders, (std::vector<std::string>{"x", "y"}));
  EXPECT_THAT(refusal("", {{"SKEP_ENGINES_SLOTS", "x"}}), HasSubstr("SKEP_ENGINES_SLOTS"));
}

TEST(ConfigTest, WhatShowPrintsReadsBackAsTheSame) {
  Config config = read(R"(
models: {"a:b": {slots: 3}}
remotes: [{name: r, url: "http://h:1", timeout: 1500ms}]
memory: {budget: 3500000000}
)");
  std::string shown = to_yaml(config);
  Config again = read(shown);
  EXPECT_EQ(to_yaml(again), shown);
  EXPECT_EQ(again.models.at("a:b").slots, 3);
  EXPECT_EQ(again.remotes.at(0).timeout, std::chrono::milliseconds(1500));
  EXPECT_EQ(again.memory.budget, Bytes(3500000000));
  EXPECT_EQ(again.tiers.at("fast").models, config.tiers.at("fast").models);
}

}  // namespace
}  // namespace skep::daemon
