#include "mind/language/parameters.h"

#include <gtest/gtest.h>

namespace skep::language {
namespace {

Request asking(const std::string& text) {
  Request request;
  request.messages = {{.role = "user", .content = text}};
  return request;
}

TEST(Parameters, TheKindOfTaskIsSeenInThePrompt) {
  const std::pair<const char*, TaskType> table[] = {
      {"Write a Python function that merges two sorted lists.", TaskType::code},
      {"This throws: TypeError\n```js\nfoo.map(x => x.y)\n```\nWhat is wrong?", TaskType::code},
      {"Why does my SQL query with a LEFT JOIN return duplicates?", TaskType::code},
      {"Refactor this class so that it can be unit tested.", TaskType::code},
      {"Compare solar and wind power for a small island and recommend one.", TaskType::analysis},
      {"Summarise the following minutes in five points.", TaskType::analysis},
      {"Explain why the sky is blue.", TaskType::analysis},
      {"Extract all dates from this letter.", TaskType::analysis},
      {"Write a short story about a bee that cannot fly.", TaskType::creative},
      {"A haiku about a function that never returns", TaskType::creative},
      {"Brainstorm ten names for a bakery.", TaskType::creative},
      {"Hello, how are you?", TaskType::general},
      {"What is the capital of Norway?", TaskType::general},
      {"Translate 'good morning' into Italian.", TaskType::general},
      {"", TaskType::general},
  };
  for (const auto& [text, type] : table) EXPECT_STREQ(to_string(task_type_of(asking(text))), to_string(type)) << text;
}

TEST(Parameters, ANamedTaskTypeWinsOverTheGuess) {
  Request request = asking("Write a Python function.");
  request.task_type = "story";
  EXPECT_EQ(task_type_of(request), TaskType::creative);
  request.task_type = "unheard-of";
  EXPECT_EQ(task_type_of(request), TaskType::code);
}

TEST(Parameters, OnlyTheLastUserMessageDecides) {
  Request request = asking("Write a Python function.");
  request.messages.push_back({.role = "assistant", .content = "def f(): pass"});
  request.messages.push_back({.role = "user", .content = "Now a poem about it."});
  EXPECT_EQ(task_type_of(request), TaskType::creative);
}

TEST(Parameters, FollowTheTableOfTypesAndTiers) {
  struct Row {
    const char* type;
    Tier tier;
    float temperature, top_p;
    int max_tokens;
  };
  const Row rows[] = {
      {"code", Tier::fast, 0.24F, 0.95F, 512},      {"code", Tier::balanced, 0.3F, 0.95F, 2048},
      {"code", Tier::deep, 0.33F, 0.95F, 4096},     {"analysis", Tier::balanced, 0.5F, 0.9F, 2048},
      {"creative", Tier::deep, 0.99F, 0.95F, 4096}, {"general", Tier::fast, 0.56F, 0.9F, 512},
  };
  for (const Row& row : rows) {
    Request request = asking("hello");
    request.task_type = row.type;
    const auto parameters = parameters_for(request, row.tier);
    ASSERT_TRUE(parameters);
    EXPECT_FLOAT_EQ(parameters->sampling.temperature, row.temperature) << row.type << to_string(row.tier);
    EXPECT_FLOAT_EQ(parameters->sampling.top_p, row.top_p);
    EXPECT_EQ(parameters->max_tokens, row.max_tokens);
  }
}

TEST(Parameters, AModelWithoutATierCountsAsBalanced) {
  const auto parameters = parameters_for(asking("hello"), std::nullopt);
  EXPECT_FLOAT_EQ(parameters->sampling.temperature, 0.7F);
  EXPECT_EQ(parameters->max_tokens, 2048);
}

TEST(Parameters, WhatTheCallerSetsWins) {
  Request request = asking("Write a Python function.");
  request.overrides.temperature = 0.0F;
  request.overrides.top_p = 0.5F;
  request.overrides.top_k = 7;
  request.overrides.max_tokens = 33;
  request.overrides.seed = 42;
  request.overrides.logit_bias = {{5, -1.0F}};
  const auto parameters = parameters_for(request, Tier::deep);
  EXPECT_EQ(parameters->sampling.temperature, 0);
  EXPECT_EQ(parameters->sampling.top_p, 0.5F);
  EXPECT_EQ(parameters->sampling.top_k, 7);
  EXPECT_EQ(parameters->max_tokens, 33);
  EXPECT_EQ(parameters->sampling.seed, 42U);
  EXPECT_EQ(parameters->sampling.logit_bias.size(), 1U);
}

TEST(Parameters, AnOverrideOutOfRangeIsNamed) {
  Request request = asking("hello");
  request.overrides.temperature = 2.5F;
  EXPECT_EQ(parameters_for(request, Tier::fast).error().code, ErrorCode::invalid_argument);
  EXPECT_NE(parameters_for(request, Tier::fast).error().message.find("temperature"), std::string::npos);
  request = asking("hello");
  request.overrides.max_tokens = 0;
  EXPECT_NE(parameters_for(request, Tier::fast).error().message.find("max_tokens"), std::string::npos);
  request = asking("hello");
  request.overrides.top_p = -0.1F;
  EXPECT_NE(parameters_for(request, Tier::fast).error().message.find("top_p"), std::string::npos);
}

}  // namespace
}  // namespace skep::language
