#include "scheduling/quota.h"

#include <gtest/gtest.h>

namespace skep::scheduling {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(TokenBucket, StartsFullAndRefillsAtItsRate) {
  ManualClock clock;
  TokenBucket bucket(600, clock.now());
  EXPECT_EQ(bucket.until(600, clock.now()), Duration::zero());
  bucket.take(600, clock.now());
  EXPECT_EQ(bucket.level(clock.now()), 0);
  clock.advance(seconds(6));
  EXPECT_DOUBLE_EQ(bucket.level(clock.now()), 60);
  clock.advance(seconds(1000));
  EXPECT_DOUBLE_EQ(bucket.level(clock.now()), 600);
  EXPECT_TRUE(bucket.full(clock.now()));
}

TEST(TokenBucket, SaysExactlyHowLongToWait) {
  ManualClock clock;
  TokenBucket bucket(600, clock.now());
  bucket.take(600, clock.now());
  const Duration wait = bucket.until(100, clock.now());
  EXPECT_NEAR(skep::seconds(wait), 10, 1e-6);
  clock.advance(wait - milliseconds(1));
  EXPECT_GT(bucket.until(100, clock.now()), Duration::zero());
  clock.advance(milliseconds(1));
  EXPECT_EQ(bucket.until(100, clock.now()), Duration::zero());
}

TEST(TokenBucket, ATaskLargerThanTheBucketWaitsUntilItIsFullAndPutsItInDebt) {
  ManualClock clock;
  TokenBucket bucket(60, clock.now());
  EXPECT_EQ(bucket.until(1000, clock.now()), Duration::zero());
  bucket.take(1000, clock.now());
  EXPECT_NEAR(skep::seconds(bucket.until(1, clock.now())), 941, 1e-6);
}

TEST(TokenBucket, WhatIsGivenBackNeverOverflowsIt) {
  ManualClock clock;
  TokenBucket bucket(60, clock.now());
  bucket.take(-1000, clock.now());
  EXPECT_EQ(bucket.level(clock.now()), 60);
}

}  // namespace
}  // namespace skep::scheduling
