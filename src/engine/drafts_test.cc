#include "engine/drafts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace skep::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Where a token costs nothing.
std::vector<Token> guessed(Drafts& drafts, const std::string& scope, const std::vector<Token>& text, int most) {
  return drafts.guess(scope, text, {}, most, 0).tokens;
}

TEST(Drafts, WhatFollowedInTheOwnTextIsGuessedLatestFirst) {
  Drafts drafts;
  const std::vector<Token> text = {1, 2, 3, 4, 5, 9, 1, 2, 3, 7, 8, 9, 1, 2, 3};
  EXPECT_THAT(guessed(drafts, "", text, 3), ElementsAre(7, 8, 9));
  EXPECT_THAT(guessed(drafts, "", text, 100), ElementsAre(7, 8, 9, 1, 2, 3));
  EXPECT_THAT(guessed(drafts, "", text, 0), IsEmpty());
  const std::vector<Token> fresh = {1, 2, 3, 4};
  EXPECT_THAT(guessed(drafts, "", fresh, 8), IsEmpty());
}

TEST(Drafts, OthersAnswersHelpWithinTheirScope) {
  Drafts drafts;
  const std::vector<Token> answer = {10, 11, 12, 13, 14, 15};
  drafts.learn("key", answer);
  const std::vector<Token> text = {99, 10, 11, 12};
  EXPECT_THAT(guessed(drafts, "key", text, 8), ElementsAre(13, 14, 15)) << "and not into the next answer";
  EXPECT_THAT(guessed(drafts, "other", text, 8), IsEmpty());
}

TEST(Drafts, WhereAnswersPartADraftEnds) {
  Drafts drafts;
  for (const Token choice : {50, 51, 52}) {
    const std::vector<Token> answer = {1, 2, 3, 4, 5, choice, 6, 7, 8, 9};
    drafts.learn("", answer);
  }
  const std::vector<Token> before = {0, 1, 2, 3};
  EXPECT_THAT(guessed(drafts, "", before, 8), ElementsAre(4, 5));
  const std::vector<Token> at = {0, 3, 4, 5};
  EXPECT_THAT(guessed(drafts, "", at, 8), IsEmpty());
  const std::vector<Token> behind = {0, 5, 51, 6};
  EXPECT_THAT(guessed(drafts, "", behind, 8), ElementsAre(7, 8, 9));
}

TEST(Drafts, WhatOthersAgreeOnComesBeforeTheOwnText) {
  Drafts drafts;
  const std::vector<Token> answer = {1, 2, 3, 4};
  const std::vector<Token> text = {1, 2, 3, 9, 1, 2, 3};
  drafts.learn("", answer);
  EXPECT_EQ(guessed(drafts, "", text, 8).front(), 9) << "once says little";
  drafts.learn("", answer);
  EXPECT_EQ(guessed(drafts, "", text, 8).front(), 4);
}

TEST(Drafts, TheLongestMatchInTheOwnTextCounts) {
  Drafts drafts;
  const std::vector<Token> text = {5, 1, 2, 3, 40, 6, 1, 2, 3, 50, 5, 1, 2, 3};
  EXPECT_EQ(guessed(drafts, "", text, 1).front(), 40);
}

TEST(Drafts, ADraftIsAsLongAsItIsLikelierRightThanDear) {
  Drafts drafts;
  const std::vector<Token> answer = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  for (int i = 0; i < 6; ++i) drafts.learn("", answer);
  const std::vector<Token> text = {0, 1, 2, 3};
  const auto length = [&](double cost) { return drafts.guess("", text, {}, 8, cost).tokens.size(); };
  EXPECT_EQ(length(0), 8);
  EXPECT_EQ(length(0.95), 0);
  EXPECT_EQ(length(0.85), 1) << "0.9";
  EXPECT_EQ(length(0.6), 4) << "0.9^4 is 0.66";
}

TEST(Drafts, WhatComesTrueIsLearnedByItsGround) {
  Drafts drafts;
  const std::vector<Token> answer = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  for (int i = 0; i < 6; ++i) drafts.learn("", answer);
  const std::vector<Token> text = {0, 1, 2, 3}, own = {1, 2, 3, 9, 8, 7, 1, 2, 3};
  for (int i = 0; i < 200; ++i) {
    const auto guess = drafts.guess("", text, {}, 8, 0);
    drafts.settle(guess.grounds, 8);
  }
  EXPECT_EQ(drafts.guess("", text, {}, 8, 0.9).tokens.size(), 8) << "always right";
  EXPECT_EQ(drafts.accepted(), 1600);
  for (int i = 0; i < 200; ++i) {
    const auto guess = drafts.guess("", text, {}, 8, 0);
    drafts.settle(guess.grounds, 0);
  }
  EXPECT_THAT(drafts.guess("", text, {}, 8, 0.3).tokens, IsEmpty()) << "never right";
  EXPECT_FALSE(drafts.guess("", own, {}, 8, 0.3).tokens.empty()) << "another ground";
  int refused = 0;
  while (drafts.guess("", text, {}, 8, 0.3).tokens.empty() && refused < 10'000) ++refused;
  EXPECT_GT(refused, 50);
  EXPECT_LT(refused, 1000) << "tried again";
}

TEST(Drafts, WhatAGrammarForcesComesFirstAndItsLastTokenIsLessSure) {
  Drafts drafts;
  const std::vector<Token> text = {1, 2, 3, 9, 1, 2, 3}, forced = {40, 41, 42};
  EXPECT_THAT(drafts.guess("", text, forced, 8, 0.6).tokens, ElementsAre(40, 41)) << "0.9, 0.81, 0.57";
  EXPECT_THAT(drafts.guess("", text, forced, 8, 0.5).tokens, ElementsAre(40, 41, 42));
  EXPECT_THAT(drafts.guess("", text, forced, 2, 0).tokens, ElementsAre(40, 41));
}

TEST(Drafts, MemoryIsBoundedAndTheLatestStays) {
  Drafts drafts;
  std::vector<Token> answer(100);
  for (Token first = 0; first < 1000; ++first) {
    std::iota(answer.begin(), answer.end(), 1000 * first);
    drafts.learn("", answer);
  }
  EXPECT_LE(drafts.known(), 2 * Drafts::kKnown);
  const std::vector<Token> old = {0, 1000, 1001, 1002};
  EXPECT_THAT(guessed(drafts, "", old, 8), IsEmpty());
  const std::vector<Token> fresh = {0, 999000, 999001, 999002};
  EXPECT_THAT(guessed(drafts, "", fresh, 2), ElementsAre(999003, 999004));
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
