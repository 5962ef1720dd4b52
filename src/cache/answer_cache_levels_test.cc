// The cache with a level below memory on what really keeps it: the state's store, Redis, SQLite and PostgreSQL, each
// with its thread and an event loop. The same tests on all four; then what only servers can do.

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "base/asio_event_loop.h"
#include "cache/answer_cache.h"
#include "cache/threaded_level.h"
#include "store/testing_answer_places.h"

std::string skep::store::deps_folder() { return SKEP_DEPS; }

namespace skep::cache {
namespace {

using namespace std::chrono_literals;

CacheKey key(int n) { return CacheKeyBuilder().integer("n", n).finish(); }

// A cache as a process has it.
class Process {
 public:
  Process(AsioEventLoop& loop, std::unique_ptr<store::AnswerTable> table, ThreadedLevelOptions options = patient())
      : loop_(loop), level(loop, std::move(table), std::move(options)), cache(loop.clock(), {&level}, {}) {}
  static ThreadedLevelOptions patient() {
    ThreadedLevelOptions options;
    options.name = "below";
    options.patience = 30s;
    options.news_every = 10ms;
    return options;
  }

  std::optional<Hit> below(int n) {
    return wait<std::optional<Hit>>([&](auto done) { cache.find_below(key(n), done); });
  }
  Status invalidate(const std::string& tag) {
    return wait<Status>([&](auto done) { cache.invalidate(tag, done); });
  }
  Status forget(const std::string& tag) {
    return wait<Status>([&](auto done) { cache.forget(tag, done); });
  }
  // Runs the loop until it holds.
  template <typename Condition>
  void until(const Condition& holds) {
    while (!holds()) {
      loop_.context().restart();
      loop_.context().run_for(1ms);
    }
  }
  void ready() {
    until([this] {
      cache.put(key(-1), "x", {});
      return level.counters().written > 0;
    });
  }

 private:
  AsioEventLoop& loop_;

 public:
  ThreadedLevel level;
  AnswerCache cache;

 private:
  template <typename T>
  T wait(const std::function<void(std::function<void(T)>)>& ask) {
    std::optional<T> got;
    ask([&](T value) { got = std::move(value); });
    until([&] { return got.has_value(); });
    return *got;
  }
};

template <typename Place>
struct AnswerCacheLevels : ::testing::Test {
  void SetUp() override {
    if (!Place::available()) GTEST_SKIP() << "not installed here";
    place.emplace(loop.clock());
  }
  AsioEventLoop loop;
  std::optional<Place> place;
};
using Places =
    ::testing::Types<store::AnswersOnLmdb, store::AnswersOnRedis, store::AnswersOnSqlite, store::AnswersOnPostgres>;
TYPED_TEST_SUITE(AnswerCacheLevels, Places);

TYPED_TEST(AnswerCacheLevels, AnswersAreThereAfterARestart) {
  const std::string bytes("bytes\0of any kind\xff", 18);
  {
    Process process(this->loop, this->place->table());
    process.ready();
    process.cache.put(key(1), bytes, {"agent:a"});
  }
  Process process(this->loop, this->place->table());
  process.ready();
  auto hit = process.below(1);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->value, bytes);
  EXPECT_EQ(hit->level, "below");
  EXPECT_TRUE(process.cache.find_in_memory(key(1))) << "the second time";
  EXPECT_FALSE(process.below(2));
}

TYPED_TEST(AnswerCacheLevels, WhatWasInvalidatedOrForgottenIsSoAfterARestart) {
  {
    Process process(this->loop, this->place->table());
    process.ready();
    process.cache.put(key(1), "a", {"agent:a", "model:m"});
    process.cache.put(key(2), "b", {"agent:b", "model:m"});
    process.cache.put(key(3), "c", {"agent:c"});
    EXPECT_TRUE(process.invalidate("agent:a"));
    EXPECT_TRUE(process.forget("agent:c"));
    process.cache.put(key(4), "d", {"agent:a"});
  }
  Process process(this->loop, this->place->table());
  process.ready();
  EXPECT_FALSE(process.below(1));
  EXPECT_TRUE(process.below(2));
  EXPECT_FALSE(process.below(3));
  EXPECT_TRUE(process.below(4)) << "it came after";
  EXPECT_TRUE(process.invalidate(""));
  EXPECT_FALSE(process.below(2));
}

// The server stands still: it takes connections and says nothing.
TEST(AnswerCacheOnServers, AHungServerDelaysNoAnswerBeyondThePatience) {
  struct Server {
    const char* name;
    std::function<void(bool)> hang;
    std::function<std::unique_ptr<store::AnswerTable>()> table;
  };
  AsioEventLoop loop;
  std::optional<store::AnswersOnRedis> redis;
  std::optional<store::AnswersOnPostgres> postgres;
  std::vector<Server> servers;
  if (store::AnswersOnRedis::available()) {
    redis.emplace(loop.clock());
    servers.push_back(
        {"redis", [](bool still) { store::testing_redis().stand_still(still); }, [&] { return redis->table(); }});
  }
  if (store::AnswersOnPostgres::available()) {
    postgres.emplace(loop.clock());
    servers.push_back(
        {"postgresql",
         [](bool still) { still ? store::testing_postgres()->hang() : store::testing_postgres()->go_on(); },
         [] {
           return std::make_unique<store::PostgresAnswers>(store::PostgresAnswersOptions{
               .url = store::testing_postgres()->connection(), .limit = std::chrono::milliseconds(500)});
         }});
  }
  if (servers.empty()) GTEST_SKIP() << "no server here";
  for (const Server& server : servers) {
    SCOPED_TRACE(server.name);
    ThreadedLevelOptions options = Process::patient();
    options.patience = 20ms;
    options.pause = 50ms;
    Process process(loop, server.table(), options);
    process.ready();
    process.cache.put(key(1), "one", {});
    process.until([&] { return process.level.counters().waiting == Bytes(0); });
    const int64_t shed = process.level.counters().shed;
    server.hang(true);
    EXPECT_FALSE(process.below(1)) << "answered while the server stands still";
    EXPECT_EQ(process.level.counters().late, 1);
    const int64_t asked = process.level.counters().skipped;
    EXPECT_FALSE(process.below(1));
    EXPECT_GE(process.level.counters().skipped + process.level.counters().late, asked + 1);
    EXPECT_TRUE(process.cache.find_in_memory(key(1))) << "memory serves";
    process.cache.put(key(2), "two", {});  // waits
    server.hang(false);
    process.until([&] { return process.below(2).has_value(); });
    EXPECT_EQ(process.level.counters().shed, shed);
  }
}

TEST(AnswerCacheOnServers, TwoProcessesShareWhatTheyKnowAndWhatTheyInvalidate) {
  if (!store::AnswersOnPostgres::available()) GTEST_SKIP() << "no PostgreSQL here";
  AsioEventLoop loop;
  store::AnswersOnPostgres place(loop.clock());
  Process one(loop, place.table()), two(loop, place.table());
  one.ready();
  two.ready();
  one.cache.put(key(1), "80 degrees", {"catalogue"});
  one.until([&] { return one.level.counters().waiting == Bytes(0); });
  ASSERT_TRUE(two.below(1));
  ASSERT_TRUE(two.cache.find_in_memory(key(1)));
  EXPECT_TRUE(one.invalidate("catalogue"));
  EXPECT_FALSE(two.below(1)) << "at once, in the database";
  two.until([&] { return !two.cache.find_in_memory(key(1)); });  // and soon in the other's memory
  two.cache.put(key(1), "90 degrees", {"catalogue"});
  two.until([&] { return two.level.counters().waiting == Bytes(0); });
  EXPECT_EQ(one.below(1)->value, "90 degrees");
}

TEST(AnswerCacheOnServers, AKilledServerCostsNoAnswerThatFitsTheQueue) {
  if (!store::AnswersOnPostgres::available()) GTEST_SKIP() << "no PostgreSQL here";
  AsioEventLoop loop;
  store::AnswersOnPostgres place(loop.clock());
  ThreadedLevelOptions options = Process::patient();
  options.pause = 50ms;
  Process process(loop, place.table(), options);
  process.ready();
  store::testing_postgres()->kill();
  process.cache.put(key(1), "one", {"t"});
  process.cache.put(key(2), "two", {});
  EXPECT_FALSE(process.below(1));
  EXPECT_EQ(process.invalidate("t").error().code, ErrorCode::unavailable);
  ASSERT_TRUE(store::testing_postgres()->run());
  process.until([&] { return process.below(2).has_value(); });
  EXPECT_FALSE(process.below(1)) << "it was invalidated while the server was away";
}

// The server is down when a tag is invalidated, and when the daemon ends; the next one has the journal alone.
TEST(AnswerCacheOnServers, WhatWasInvalidatedWhileTheServerWasDownIsNeverServedByTheNextProcess) {
  if (!store::AnswersOnPostgres::available()) GTEST_SKIP() << "no PostgreSQL here";
  AsioEventLoop loop;
  store::AnswersOnPostgres place(loop.clock());
  store::AnswersOnLmdb state(loop.clock());
  const auto options = [&](Duration pause) {
    ThreadedLevelOptions made = Process::patient();
    made.pause = pause;
    made.journal = std::make_shared<OrderJournal>(state.values, "postgresql");
    return made;
  };
  {
    Process process(loop, place.table(), options(50ms));
    process.ready();
    process.cache.put(key(1), "one", {"t"});
    process.cache.put(key(2), "two", {});
    process.until([&] { return process.level.counters().waiting == Bytes(0); });
    ASSERT_TRUE(process.below(1));
  }
  store::testing_postgres()->kill();
  {
    Process process(loop, place.table(), options(1h));
    EXPECT_EQ(process.invalidate("t").error().code, ErrorCode::unavailable);
  }
  Process process(loop, place.table(), options(50ms));
  EXPECT_FALSE(process.below(1)) << "the server is still down";
  ASSERT_TRUE(store::testing_postgres()->run());
  std::optional<Hit> other;
  process.until([&] {
    EXPECT_FALSE(process.below(1)) << "nor in between";
    return (other = process.below(2)).has_value();
  });
  EXPECT_EQ(other->value, "two");
  EXPECT_FALSE(process.below(1));
  process.until([&] { return state.values.keys("cache-orders")->empty(); });
}

}  // namespace
}  // namespace skep::cache
