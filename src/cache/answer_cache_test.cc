#include "cache/answer_cache.h"

#include <gtest/gtest.h>

#include <map>

#include "cache/cache_key.h"

namespace skep::cache {
namespace {

using namespace std::chrono_literals;

// A second level in memory, whose failures are made to order.
class MapKeyValue final : public store::KeyValue {
 public:
  std::map<std::pair<std::string, std::string>, std::string> map;
  bool down = false;
  int gets = 0;

  Result<std::optional<std::string>> get(std::string_view space, std::string_view key) override {
    ++gets;
    if (down) return fail(ErrorCode::unavailable, "down");
    auto found = map.find({std::string(space), std::string(key)});
    return found == map.end() ? std::nullopt : std::optional(found->second);
  }
  Status put(std::string_view space, std::string_view key, std::string_view value, std::optional<Duration>) override {
    if (down) return fail(ErrorCode::unavailable, "down");
    map[{std::string(space), std::string(key)}] = value;
    return {};
  }
  Result<bool> erase(std::string_view space, std::string_view key) override {
    if (down) return fail(ErrorCode::unavailable, "down");
    return map.erase({std::string(space), std::string(key)}) > 0;
  }
  Result<std::vector<std::string>> keys(std::string_view space, std::string_view, std::string_view after,
                                        size_t) override {
    std::vector<std::string> names;
    for (const auto& [place, value] : map) {
      if (place.first == space && place.second > after) names.push_back(place.second);
    }
    return names;
  }
  Result<std::optional<Duration>> ttl(std::string_view, std::string_view) override { return std::nullopt; }
  Result<int64_t> add(std::string_view, std::string_view, int64_t, std::optional<Duration>) override { return 0; }
  Result<size_t> push(std::string_view, std::string_view, std::string_view, size_t, std::optional<Duration>) override {
    return size_t{0};
  }
  Result<std::vector<std::string>> items(std::string_view, std::string_view, size_t, size_t) override {
    return std::vector<std::string>();
  }
  Result<size_t> clear(std::string_view) override { return size_t{0}; }
};

CacheKey key(int n) { return CacheKeyBuilder().integer("n", n).finish(); }

struct AnswerCacheTest : ::testing::Test {
  ManualClock clock;
  MapKeyValue disk;
  AnswerCacheOptions options;
};

TEST_F(AnswerCacheTest, AnswersFromMemoryWithTheAgeOfTheAnswer) {
  AnswerCache cache(clock, &disk, options);
  cache.put(key(1), "forty-two", {});
  clock.advance(12s);
  auto hit = cache.find(key(1));
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->value, "forty-two");
  EXPECT_EQ(hit->level, Level::memory);
  EXPECT_EQ(hit->age, 12s);
  EXPECT_FALSE(cache.find(key(2)));
  EXPECT_EQ(cache.counters().memory_hits, 1);
  EXPECT_EQ(cache.counters().misses, 1);
}

TEST_F(AnswerCacheTest, ForgetsAfterItsTimeToLive) {
  AnswerCache cache(clock, &disk, options);
  cache.put(key(1), "an hour", {});
  cache.put(key(2), "a minute", {}, 1min);
  clock.advance(2min);
  EXPECT_TRUE(cache.find(key(1)));
  EXPECT_FALSE(cache.find(key(2))) << "neither in memory nor from the disk";
  clock.advance(1h);
  EXPECT_FALSE(cache.find(key(1)));
}

TEST_F(AnswerCacheTest, AnswersFromTheDiskAfterARestart) {
  {
    AnswerCache cache(clock, &disk, options);
    cache.put(key(1), "kept", {"agent:a"});
  }
  clock.advance(5s);
  AnswerCache cache(clock, &disk, options);
  auto hit = cache.find(key(1));
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->level, Level::second);
  EXPECT_EQ(hit->age, 5s);
  EXPECT_EQ(cache.find(key(1))->level, Level::memory) << "the second time";
}

TEST_F(AnswerCacheTest, CacheAsideWritesToTheDiskWhenAnEntryLeaves) {
  options.write_through = false;
  {
    AnswerCache cache(clock, &disk, options);
    cache.put(key(1), "later", {});
    EXPECT_TRUE(disk.map.empty());
  }
  EXPECT_EQ(disk.map.size(), 1U);
  AnswerCache cache(clock, &disk, options);
  EXPECT_TRUE(cache.find(key(1)));
}

TEST_F(AnswerCacheTest, KeepsToItsBytesAndFindsTheRestOnDisk) {
  options.memory = 100_KiB;
  AnswerCache cache(clock, &disk, options);
  for (int i = 0; i < 200; ++i) cache.put(key(i), std::string(2000, 'x'), {});
  EXPECT_LE(cache.memory(), 100_KiB);
  EXPECT_GT(cache.counters().evicted, 100);
  int found = 0;
  for (int i = 0; i < 200; ++i) found += cache.find(key(i)) ? 1 : 0;
  EXPECT_EQ(found, 200);
}

TEST_F(AnswerCacheTest, KeepsToItsBytesOnDiskToo) {
  options.memory = 10_KiB;
  options.disk = 50_KiB;
  AnswerCache cache(clock, &disk, options);
  for (int i = 0; i < 200; ++i) cache.put(key(i), std::string(2000, 'x'), {});
  EXPECT_LE(disk.map.size(), 25U);
  AnswerCache next(clock, &disk, options);
  EXPECT_TRUE(next.find(key(199)));
  EXPECT_FALSE(next.find(key(0)));
}

TEST_F(AnswerCacheTest, InvalidatingATagReachesBothLevelsAndTheNextRun) {
  {
    AnswerCache cache(clock, &disk, options);
    cache.put(key(1), "a", {"agent:a", "model:m"});
    cache.put(key(2), "b", {"agent:b", "model:m"});
    EXPECT_TRUE(cache.invalidate("agent:a"));
    EXPECT_FALSE(cache.find(key(1)));
    EXPECT_TRUE(cache.find(key(2)));
  }
  AnswerCache cache(clock, &disk, options);
  EXPECT_FALSE(cache.find(key(1))) << "it still stands on the disk";
  EXPECT_TRUE(cache.find(key(2)));
  cache.put(key(1), "a again", {"agent:a", "model:m"});
  EXPECT_EQ(cache.find(key(1))->value, "a again");
  EXPECT_TRUE(cache.invalidate("model:m"));
  EXPECT_FALSE(cache.find(key(1)));
  EXPECT_FALSE(cache.find(key(2)));
}

TEST_F(AnswerCacheTest, ClearLeavesNothing) {
  AnswerCache cache(clock, &disk, options);
  cache.put(key(1), "a", {});
  EXPECT_TRUE(cache.clear());
  EXPECT_FALSE(cache.find(key(1)));
  cache.put(key(1), "b", {});
  EXPECT_EQ(cache.find(key(1))->value, "b");
}

TEST_F(AnswerCacheTest, GoesOnWithoutItsSecondLevel) {
  AnswerCache cache(clock, &disk, options);
  disk.down = true;
  cache.put(key(1), "a", {"t"});
  EXPECT_EQ(cache.find(key(1))->value, "a");
  EXPECT_FALSE(cache.find(key(2)));
  EXPECT_FALSE(cache.invalidate("t")) << "after a restart it may be back";
  EXPECT_FALSE(cache.find(key(1)));
  EXPECT_GT(cache.counters().disk_failures, 0);
  AnswerCache alone(clock, nullptr, options);
  alone.put(key(1), "a", {});
  EXPECT_TRUE(alone.find(key(1)));
}

TEST_F(AnswerCacheTest, WhereTagsCantBeReadNothingOnTheDiskIsBelieved) {
  {
    AnswerCache cache(clock, &disk, options);
    cache.put(key(1), "a", {"t"});
    EXPECT_TRUE(cache.invalidate("other"));
  }
  EXPECT_TRUE(AnswerCache(clock, &disk, options).find(key(1)));
  disk.map[{"cache-tags", "other"}] = "1x";
  AnswerCache cache(clock, &disk, options);
  EXPECT_FALSE(cache.find(key(1)));
  cache.put(key(2), "b", {"t"});
  EXPECT_TRUE(cache.find(key(2)));
}

TEST_F(AnswerCacheTest, ABrokenEntryOnDiskIsAMiss) {
  {
    AnswerCache cache(clock, &disk, options);
    cache.put(key(1), "value", {"t"});
  }
  std::string whole = disk.map.begin()->second;
  for (size_t size = 0; size < whole.size(); ++size) {
    disk.map.begin()->second = whole.substr(0, size);
    AnswerCache cache(clock, &disk, options);
    EXPECT_FALSE(cache.find(key(1))) << size;
  }
}

TEST(CacheKey, DiffersWithEveryFieldAndEveryBorder) {
  auto of = [](std::string_view a, std::string_view b) { return CacheKeyBuilder().text("a", a).text("b", b).finish(); };
  EXPECT_EQ(of("x", "y"), of("x", "y"));
  EXPECT_NE(of("x", "y"), of("xy", ""));
  EXPECT_NE(of("x", "y"), of("y", "x"));
  EXPECT_NE(CacheKeyBuilder().text("a", "x").finish(), CacheKeyBuilder().text("b", "x").finish());
  EXPECT_NE(CacheKeyBuilder().real("t", 0.0F).finish(), CacheKeyBuilder().real("t", -0.0F).finish());
  EXPECT_NE(CacheKeyBuilder().integer("t", 0).finish(), CacheKeyBuilder().real("t", 0).finish());
}

TEST_F(AnswerCacheTest, WhatIsForgottenIsInNeitherLevelAndTheRestIs) {
  AnswerCache cache(clock, &disk, options);
  cache.put(key(1), "zanzibar", {"agent:ann"});
  cache.put(key(2), "harmless", {"agent:bob"});
  EXPECT_EQ(cache.forget("agent:ann"), std::vector<CacheKey>{key(1)});
  auto gone = AnswerCache::erase_tagged(disk, "agent:ann");
  ASSERT_TRUE(gone);
  EXPECT_EQ(*gone, std::vector<CacheKey>{key(1)});
  EXPECT_FALSE(cache.find(key(1)));
  EXPECT_TRUE(cache.find(key(2)));
  for (const auto& [place, value] : disk.map) EXPECT_EQ(value.find("zanzibar"), std::string::npos);
  disk.down = true;
  EXPECT_FALSE(AnswerCache::erase_tagged(disk, "agent:bob"));
}

}  // namespace
}  // namespace skep::cache
