#include "scheduling/accounts.h"

#include <gtest/gtest.h>

namespace skep::scheduling {
namespace {

using std::chrono::seconds;

TEST(Accounts, RefuseWhenTheTokensOfAMinuteAreSpentAndSayWhenTheyAreBack) {
  ManualClock clock;
  Accounts accounts({.tokens_per_minute = 60});
  EXPECT_FALSE(accounts.refuses("a", 50, clock.now()));
  accounts.begin("a", 50, clock.now());
  const auto refusal = accounts.refuses("a", 30, clock.now());
  ASSERT_TRUE(refusal);
  EXPECT_TRUE(refusal->tokens);
  EXPECT_NEAR(skep::seconds(refusal->retry_after), 20, 1e-6);
  EXPECT_FALSE(accounts.refuses("b", 30, clock.now()));
  clock.advance(refusal->retry_after);
  EXPECT_FALSE(accounts.refuses("a", 30, clock.now()));
}

TEST(Accounts, GiveBackWhatWasNotUsed) {
  ManualClock clock;
  Accounts accounts({.tokens_per_minute = 60});
  accounts.begin("a", 60, clock.now());
  EXPECT_TRUE(accounts.refuses("a", 1, clock.now()));
  accounts.end("a", -40, seconds(1), clock.now());
  EXPECT_FALSE(accounts.refuses("a", 40, clock.now()));
  EXPECT_TRUE(accounts.refuses("a", 41, clock.now()));
}

TEST(Accounts, RefuseTooManyAtOnceAndLearnFromHowLongTheyTake) {
  ManualClock clock;
  Accounts accounts({.concurrent = 2});
  accounts.begin("a", 1, clock.now());
  accounts.begin("a", 1, clock.now());
  const auto unknown = accounts.refuses("a", 1, clock.now());
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(unknown->tokens);
  EXPECT_EQ(unknown->retry_after, Duration::zero());
  accounts.end("a", 0, seconds(8), clock.now());
  EXPECT_FALSE(accounts.refuses("a", 1, clock.now()));
  accounts.begin("a", 1, clock.now());
  EXPECT_EQ(accounts.refuses("a", 1, clock.now())->retry_after, seconds(4));
}

TEST(Accounts, OwnLimitsWinAndTheNamelessIsNotLimited) {
  ManualClock clock;
  Accounts accounts({.concurrent = 1});
  accounts.limit("big", {.concurrent = 3});
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(accounts.refuses("big", 1, clock.now()));
    accounts.begin("big", 1, clock.now());
    EXPECT_FALSE(accounts.refuses("", 1, clock.now()));
    accounts.begin("", 1, clock.now());
  }
  EXPECT_TRUE(accounts.refuses("big", 1, clock.now()));
  EXPECT_EQ(accounts.in_flight("big"), 3);
}

TEST(Accounts, ForgetThoseThatAreAsGoodAsNew) {
  ManualClock clock;
  Accounts accounts({.tokens_per_minute = 60});
  for (int i = 0; i < 10000; ++i) {
    const std::string name = "key " + std::to_string(i);
    accounts.begin(name, 1, clock.now());
    accounts.end(name, 0, seconds(1), clock.now());
    clock.advance(seconds(1));
  }
  EXPECT_LT(accounts.size(), 200U);
}

}  // namespace
}  // namespace skep::scheduling
