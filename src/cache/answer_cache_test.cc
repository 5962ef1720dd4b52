#include "cache/answer_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "cache/cache_key.h"

namespace skep::cache {
namespace {

using namespace std::chrono_literals;

// A level in memory that answers when it is told to.
class MapLevel final : public Level {
 public:
  explicit MapLevel(std::string n) : name_(std::move(n)) {}
  const std::string& name() const override { return name_; }
  void find(const CacheKey& key, std::function<void(std::optional<Kept>)> done) override {
    ++asked;
    waiting.push_back([this, key, done = std::move(done)] {
      auto found = map.find(key);
      done(found == map.end() ? std::nullopt : std::optional(found->second));
    });
  }
  void keep(const CacheKey& key, Kept answer) override { map[key] = std::move(answer); }
  void invalidate(const std::string& tag, bool forget, std::function<void(Status)> done) override {
    orders.push_back((forget ? "forget " : "") + tag);
    std::erase_if(map, [&](const auto& entry) {
      const auto& tags = entry.second.tags;
      return tag == "*" || std::find(tags.begin(), tags.end(), tag) != tags.end();
    });
    if (down) return done(fail(ErrorCode::unavailable, "down"));
    done({});
  }
  void on_invalidated(Heard h) override { heard = std::move(h); }
  Counters counters() const override { return {}; }
  void run() {
    while (!waiting.empty()) {
      auto works = std::exchange(waiting, {});
      for (auto& work : works) work();
    }
  }

  std::map<CacheKey, Kept> map;
  std::vector<std::string> orders;
  std::vector<std::function<void()>> waiting;
  Heard heard;
  bool down = false;
  int asked = 0;

 private:
  std::string name_;
};

CacheKey key(int n) { return CacheKeyBuilder().integer("n", n).finish(); }

struct AnswerCacheTest : ::testing::Test {
  std::vector<Level*> both() { return {&disk, &database}; }
  // Wherever it is.
  std::optional<Hit> find(AnswerCache& cache, int n) {
    if (auto hit = cache.find_in_memory(key(n))) return Hit{*hit->value, "memory", hit->age};
    std::optional<std::optional<Hit>> found;
    cache.find_below(key(n), [&](std::optional<Hit> hit) { found = std::move(hit); });
    while (!found) {
      disk.run();
      database.run();
    }
    return *found;
  }
  static Status invalidate(AnswerCache& cache, const std::string& tag) {
    std::optional<Status> done;
    cache.invalidate(tag, [&](const Status& status) { done = status; });
    return done.value_or(fail(ErrorCode::internal, "never told"));
  }
  ManualClock clock;
  MapLevel disk{"disk"}, database{"database"};
  AnswerCacheOptions options;
};

TEST_F(AnswerCacheTest, AnswersFromMemoryWithTheAgeOfTheAnswer) {
  AnswerCache cache(clock, both(), options);
  cache.put(key(1), "forty-two", {});
  clock.advance(12s);
  auto hit = find(cache, 1);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->value, "forty-two");
  EXPECT_EQ(hit->level, "memory");
  EXPECT_EQ(hit->age, 12s);
  EXPECT_EQ(disk.asked, 0);
  EXPECT_FALSE(find(cache, 2));
  EXPECT_EQ(cache.counters().memory_hits, 1);
}

TEST_F(AnswerCacheTest, ForgetsAfterItsTimeToLive) {
  AnswerCache cache(clock, both(), options);
  cache.put(key(1), "an hour", {});
  cache.put(key(2), "a minute", {}, 1min);
  clock.advance(2min);
  EXPECT_TRUE(find(cache, 1));
  EXPECT_FALSE(find(cache, 2)) << "neither in memory nor from a level that still has it";
  clock.advance(1h);
  EXPECT_FALSE(find(cache, 1));
}

TEST_F(AnswerCacheTest, AsksTheLevelsInOrderAndBringsAnswersNearer) {
  { AnswerCache(clock, {&database}, options).put(key(1), "kept", {"agent:a"}); }
  clock.advance(5s);
  AnswerCache cache(clock, both(), options);
  auto hit = find(cache, 1);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->level, "database");
  EXPECT_EQ(hit->age, 5s);
  EXPECT_EQ(disk.asked, 1) << "first";
  EXPECT_EQ(find(cache, 1)->level, "memory") << "the second time";
  AnswerCache next(clock, both(), options);
  EXPECT_EQ(find(next, 1)->level, "disk") << "after a restart";
  EXPECT_EQ(database.asked, 1);
}

TEST_F(AnswerCacheTest, CacheAsideWritesBelowWhenAnEntryLeaves) {
  options.write_through = false;
  {
    AnswerCache cache(clock, both(), options);
    cache.put(key(1), "later", {});
    EXPECT_TRUE(disk.map.empty());
  }
  EXPECT_EQ(disk.map.size(), 1U);
  EXPECT_EQ(database.map.size(), 1U);
}

TEST_F(AnswerCacheTest, KeepsToItsBytesAndFindsTheRestBelow) {
  options.memory = 100_KiB;
  AnswerCache cache(clock, both(), options);
  for (int i = 0; i < 200; ++i) cache.put(key(i), std::string(2000, 'x'), {});
  EXPECT_LE(cache.memory(), 100_KiB);
  EXPECT_GT(cache.counters().evicted, 100);
  int found = 0;
  for (int i = 0; i < 200; ++i) found += find(cache, i) ? 1 : 0;
  EXPECT_EQ(found, 200);
}

TEST_F(AnswerCacheTest, InvalidatingATagReachesMemoryAndAllLevels) {
  AnswerCache cache(clock, both(), options);
  cache.put(key(1), "a", {"agent:a", "model:m"});
  cache.put(key(2), "b", {"agent:b", "model:m"});
  EXPECT_TRUE(invalidate(cache, "agent:a"));
  EXPECT_FALSE(find(cache, 1));
  EXPECT_TRUE(find(cache, 2));
  EXPECT_EQ(disk.orders, std::vector<std::string>{"agent:a"});
  EXPECT_EQ(database.orders, std::vector<std::string>{"agent:a"});
  cache.put(key(1), "a again", {"agent:a", "model:m"});
  EXPECT_EQ(find(cache, 1)->value, "a again");
  EXPECT_TRUE(invalidate(cache, ""));
  EXPECT_FALSE(find(cache, 1));
  EXPECT_FALSE(find(cache, 2));
  EXPECT_EQ(disk.orders.back(), "*");
}

TEST_F(AnswerCacheTest, AnAnswerThatIsOnItsWayThroughAnInvalidationIsNone) {
  { AnswerCache(clock, {&database}, options).put(key(1), "old", {"t"}); }
  AnswerCache cache(clock, {&database}, options);
  const Kept old = database.map.at(key(1));
  std::optional<std::optional<Hit>> found;
  cache.find_below(key(1), [&](std::optional<Hit> hit) { found = std::move(hit); });
  EXPECT_TRUE(invalidate(cache, "t"));
  database.map[key(1)] = old;  // it was read before
  database.run();
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
  EXPECT_EQ(cache.entries(), 0U);
}

TEST_F(AnswerCacheTest, AnOldAnswerFromBelowDoesNotReplaceANewOne) {
  { AnswerCache(clock, {&database}, options).put(key(1), "old", {}); }
  AnswerCache cache(clock, both(), options);
  cache.find_below(key(1), [](const std::optional<Hit>&) {});
  disk.run();
  cache.put(key(1), "new", {});
  database.run();
  EXPECT_EQ(find(cache, 1)->value, "new");
}

TEST_F(AnswerCacheTest, ALevelThatCantNoteAnInvalidationIsTold) {
  AnswerCache cache(clock, both(), options);
  cache.put(key(1), "a", {"t"});
  database.down = true;
  EXPECT_EQ(invalidate(cache, "t").error().code, ErrorCode::unavailable);
  EXPECT_FALSE(cache.find_in_memory(key(1)));
  AnswerCache alone(clock, {}, options);
  alone.put(key(1), "a", {});
  EXPECT_TRUE(find(alone, 1));
  EXPECT_TRUE(invalidate(alone, ""));
  EXPECT_FALSE(find(alone, 1));
}

TEST_F(AnswerCacheTest, WhatOthersInvalidateHoldsHereAndInTheOtherLevels) {
  AnswerCache cache(clock, both(), options);
  cache.put(key(1), "a", {"t"});
  cache.put(key(2), "b", {"u"});
  std::vector<std::string> heard;
  cache.on_invalidated([&](const std::string& tag) { heard.push_back(tag); });
  int applied = 0;
  database.heard({"t", "v"}, [&] { ++applied; });
  EXPECT_EQ(applied, 1);
  EXPECT_EQ(heard, (std::vector<std::string>{"t", "v"}));
  EXPECT_EQ(disk.orders, (std::vector<std::string>{"t", "v"}));
  EXPECT_TRUE(database.orders.empty()) << "it has them";
  EXPECT_FALSE(cache.find_in_memory(key(1)));
  EXPECT_TRUE(cache.find_in_memory(key(2)));
  disk.down = true;
  database.heard({"w"}, [&] { ++applied; });
  EXPECT_EQ(applied, 1) << "not noted: to be heard again after a restart";
}

TEST_F(AnswerCacheTest, WhatIsForgottenLeavesMemoryAndTheLevels) {
  AnswerCache cache(clock, both(), options);
  cache.put(key(1), "zanzibar", {"agent:ann"});
  cache.put(key(2), "harmless", {"agent:bob"});
  bool done = false;
  cache.forget("agent:ann", [&](const Status& status) { done = status.has_value(); });
  EXPECT_TRUE(done);
  EXPECT_EQ(cache.entries(), 1U);
  EXPECT_EQ(disk.orders, std::vector<std::string>{"forget agent:ann"});
  EXPECT_FALSE(find(cache, 1));
  EXPECT_TRUE(find(cache, 2));
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

TEST(CacheKey, ALongTagIsKnownByItsHash) {
  const std::string text(kLongestTag, 'x');
  EXPECT_EQ(tag_named(text), text);
  EXPECT_LE(tag_named(text + "y").size(), kLongestTag);
  EXPECT_NE(tag_named(text + "y"), tag_named(text + "z"));
}

}  // namespace
}  // namespace skep::cache
