// The second level on what really keeps it: the state's store and a Redis server. The same tests on both.

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "cache/answer_cache.h"
#include "store/impatient_key_value.h"
#include "store/lmdb_key_value.h"
#include "store/redis_key_value.h"
#include "store/testing_folder.h"
#include "store/testing_redis.h"

namespace skep::cache {
namespace {

using namespace std::chrono_literals;

CacheKey key(int n) { return CacheKeyBuilder().integer("n", n).finish(); }

store::TestingRedis& redis() {
  static store::TestingRedis server;
  return server;
}

struct OnLmdb {
  explicit OnLmdb(const Clock& clock) : values(*store, clock) {}
  store::KeyValue& level() { return values; }
  store::TestingFolder folder;
  std::unique_ptr<store::Store> store = [this] {
    store::StoreOptions options;
    options.folder = folder.path();
    return store::Store::open(options).value();
  }();
  store::LmdbKeyValue values;
};

struct OnRedis {
  explicit OnRedis(const Clock& clock)
      : values(std::make_unique<store::RedisKeyValue>(redis().options(), "levels" + std::to_string(++number)), clock) {}
  store::KeyValue& level() { return values; }
  static inline int number = 0;
  store::ImpatientKeyValue values;
};

template <typename Where>
struct AnswerCacheLevels : ::testing::Test {
  ManualClock clock;
  Where where{clock};
  AnswerCacheOptions options;
};
using Places = ::testing::Types<OnLmdb, OnRedis>;
TYPED_TEST_SUITE(AnswerCacheLevels, Places);

TYPED_TEST(AnswerCacheLevels, AnswersAreThereAfterARestart) {
  {
    AnswerCache cache(this->clock, &this->where.level(), this->options);
    cache.put(key(1), std::string("bytes\0of any kind\xff", 18), {"agent:a"});
  }
  this->clock.advance(5s);
  AnswerCache cache(this->clock, &this->where.level(), this->options);
  auto hit = cache.find(key(1));
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->value, std::string("bytes\0of any kind\xff", 18));
  EXPECT_EQ(hit->level, Level::second);
  EXPECT_EQ(hit->age, 5s);
  EXPECT_EQ(cache.find(key(1))->level, Level::memory) << "the second time";
  EXPECT_FALSE(cache.find(key(2)));
}

TYPED_TEST(AnswerCacheLevels, WhatWasInvalidatedIsSoAfterARestart) {
  {
    AnswerCache cache(this->clock, &this->where.level(), this->options);
    cache.put(key(1), "a", {"agent:a", "model:m"});
    cache.put(key(2), "b", {"agent:b", "model:m"});
    EXPECT_TRUE(cache.invalidate("agent:a"));
  }
  AnswerCache cache(this->clock, &this->where.level(), this->options);
  EXPECT_FALSE(cache.find(key(1)));
  EXPECT_TRUE(cache.find(key(2)));
  EXPECT_TRUE(cache.clear());
  EXPECT_FALSE(cache.find(key(2)));
}

TYPED_TEST(AnswerCacheLevels, KeepsToItsBytesThere) {
  this->options.memory = 64_KiB;
  this->options.disk = 50_KiB;
  AnswerCache cache(this->clock, &this->where.level(), this->options);
  for (int i = 0; i < 200; ++i) cache.put(key(i), std::string(2000, 'x'), {});
  EXPECT_LE(this->where.level().keys("cache")->size(), 25U);
  EXPECT_TRUE(cache.find(key(199)));
}

// The server stands still: it takes connections and says nothing.
TEST(AnswerCacheOnRedis, AServerThatHangsCostsOneShortWaitInAWhile) {
  ManualClock clock;
  store::RedisOptions slow = redis().options();
  slow.call_timeout = 20ms;
  store::ImpatientKeyValue values(std::make_unique<store::RedisKeyValue>(slow, "hangs"), clock, 5s);
  AnswerCache cache(clock, &values, {});
  cache.put(key(1), "a", {});
  redis().stand_still(true);
  EXPECT_FALSE(cache.find(key(2)));
  const auto failures = cache.counters().disk_failures;
  EXPECT_GE(failures, 1);
  EXPECT_TRUE(cache.find(key(1))) << "memory serves";
  redis().stand_still(false);
  EXPECT_FALSE(values.get("cache", "x")) << "not asked again so soon";
  clock.advance(6s);
  Result<std::optional<std::string>> back = values.get("cache", "x");
  for (int i = 0; i < 200 && !back; ++i, clock.advance(6s), back = values.get("cache", "x")) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_TRUE(back);
  cache.put(key(3), "c", {});
  EXPECT_EQ(cache.counters().disk_failures, failures);
}

}  // namespace
}  // namespace skep::cache
