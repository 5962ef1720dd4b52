#include "engine/drafts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace skep::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Drafts, WhatFollowedInTheOwnTextIsGuessedLatestFirst) {
  Drafts drafts;
  const std::vector<Token> text = {1, 2, 3, 4, 5, 9, 1, 2, 3, 7, 8, 9, 1, 2, 3};
  EXPECT_THAT(drafts.guess("", text, 3), ElementsAre(7, 8, 9));
  EXPECT_THAT(drafts.guess("", text, 100), ElementsAre(7, 8, 9, 1, 2, 3));
  EXPECT_THAT(drafts.guess("", text, 0), IsEmpty());
  const std::vector<Token> fresh = {1, 2, 3, 4};
  EXPECT_THAT(drafts.guess("", fresh, 8), IsEmpty());
}

TEST(Drafts, OthersAnswersHelpWithinTheirScope) {
  Drafts drafts;
  const std::vector<Token> answer = {10, 11, 12, 13, 14, 15};
  drafts.learn("key", answer);
  const std::vector<Token> text = {99, 10, 11, 12};
  EXPECT_THAT(drafts.guess("key", text, 8), ElementsAre(13, 14, 15)) << "and not into the next answer";
  EXPECT_THAT(drafts.guess("other", text, 8), IsEmpty());
}

TEST(Drafts, WhatWasOverwrittenIsNotGuessed) {
  Drafts drafts;
  std::vector<Token> first(100);
  std::iota(first.begin(), first.end(), 1000);
  drafts.learn("", first);
  std::vector<Token> noise(Drafts::kTokens / 8, 5);
  for (int i = 0; i < 12; ++i) drafts.learn("", noise);
  const std::vector<Token> text = {0, 1000, 1001, 1002};
  EXPECT_THAT(drafts.guess("", text, 8), IsEmpty());
}

TEST(DraftLuck, ItStopsWhenItDoesNotPayAndTriesAgain) {
  DraftLuck luck;
  EXPECT_TRUE(luck.pays(0.4)) << "hope";
  for (int i = 0; i < 20; ++i) luck.record(8, 0);
  int tries = 0;
  for (int i = 0; i < 240; ++i) tries += luck.pays(0.4) ? 1 : 0;
  EXPECT_EQ(tries, 10);
  for (int i = 0; i < 20; ++i) luck.record(8, 7);
  EXPECT_TRUE(luck.pays(0.4));
  EXPECT_FALSE(luck.pays(0.95));
}

}  // namespace
}  // namespace skep::engine
