// RedisKeyValue passes the contract on a real server, and comes back after the server was killed.

#include "store/redis_key_value.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "store/key_value_contract.h"
#include "store/testing_redis.h"

namespace skep::store {
namespace {

// One server for all tests of the contract; each gets a prefix of its own.
TestingRedis& server() {
  static TestingRedis redis;
  return redis;
}

struct RedisFixture {
  KeyValue& kv() { return kv_; }
  static void pass(Duration time) { std::this_thread::sleep_for(time); }
  static std::string next_prefix() {
    static int n = 0;
    return "test" + std::to_string(++n);
  }
  RedisKeyValue kv_{server().options(), next_prefix()};
};
INSTANTIATE_TYPED_TEST_SUITE_P(Redis, KeyValueContract, RedisFixture);

TEST(RedisKeyValue, GoesOnAfterTheServerWasKilledAndStartedAgain) {
  TestingRedis& redis = server();
  RedisKeyValue kv(redis.options(), "fault");
  ASSERT_TRUE(kv.put("n", "k", "v"));
  const int64_t before = kv.pool().connects();
  redis.kill();
  auto away = kv.get("n", "k");
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code, ErrorCode::unavailable);
  EXPECT_FALSE(kv.add("n", "c", 1));
  redis.start();
  // The pause between attempts is at most 50 ms here.
  for (int i = 0; i < 200 && !kv.get("n", "k"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(*kv.get("n", "k"), "v") << "from the server's own log";
  EXPECT_EQ(*kv.add("n", "c", 1), 1) << "what failed before was not counted";
  EXPECT_GT(kv.pool().connects(), before);
}

TEST(RedisKeyValue, AConnectionThatWasClosedMeanwhileIsNotUsed) {
  TestingRedis& redis = server();
  RedisKeyValue kv(redis.options(), "closed");
  ASSERT_TRUE(kv.add("n", "c", 1));
  RedisPool other(redis.options());
  ASSERT_TRUE(other.run({{"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}}));
  EXPECT_EQ(*kv.add("n", "c", 1), 2) << "noticed before anything was sent";
}

TEST(RedisKeyValue, KeysThatExpiredLeaveTheIndexesWithLaterWrites) {
  RedisKeyValue kv(server().options(), "tidy");
  const auto indexed = [&] {
    const auto counts = kv.pool().run({{"ZCARD", "tidy:i:n"}, {"ZCARD", "tidy:x:n"}}).value();
    return std::pair(counts[0].integer, counts[1].integer);
  };
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(kv.put("n", "short" + std::to_string(i), "v", std::chrono::milliseconds(20)));
  ASSERT_TRUE(kv.put("n", "long", "v", std::chrono::hours(1)));
  ASSERT_TRUE(kv.put("n", "short1", "v"));  // and now it stays
  ASSERT_TRUE(kv.add("n", "counter", 1, std::chrono::milliseconds(20)));
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(kv.put("n", "steady", "v"));
  EXPECT_EQ(indexed(), std::pair(int64_t{3}, int64_t{1})) << "long, short1, steady; one of them expires";
  EXPECT_EQ(kv.keys("n")->size(), 3U);
}

TEST(RedisKeyValue, ThreadsShareABoundedNumberOfConnections) {
  RedisOptions options = server().options();
  options.connections = 2;
  RedisKeyValue kv(options, "pool");
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) EXPECT_TRUE(kv.add("n", "c", 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*kv.get("n", "c"), "200");
  EXPECT_LE(kv.pool().connects(), 2);
}

// Names and values of every key, whatever it is.
std::string everything_on(RedisPool& pool) {
  const auto ask = [&](RedisCommand command) { return std::move(pool.run({std::move(command)}).value()[0]); };
  std::string all;
  for (const RedisReply& key : ask({"KEYS", "*"}).list) {
    const std::string kind = ask({"TYPE", key.text}).text;
    all += key.text + '\n';
    if (kind == "string") all += ask({"GET", key.text}).text + '\n';
    const RedisReply items = kind == "string" ? RedisReply()
                             : kind == "list" ? ask({"LRANGE", key.text, "0", "-1"})
                                              : ask({"ZRANGE", key.text, "0", "-1"});
    for (const RedisReply& item : items.list) all += item.text + '\n';
  }
  return all;
}

TEST(RedisKeyValue, NothingOfAClearedNamespaceIsOnTheServerNorInItsLogOnceThatIsRewritten) {
  TestingRedis& redis = server();
  RedisKeyValue kv(redis.options(), "forget");
  for (const std::string who : {"rumpelstilzchen", "schneewittchen"}) {
    for (int i = 0; i < 600; ++i) {
      const auto ttl = i % 2 == 0 ? std::optional<Duration>(std::chrono::hours(1)) : std::nullopt;
      ASSERT_TRUE(kv.put("agent/" + who, who + std::to_string(i), who + " was here", ttl));
    }
    ASSERT_TRUE(kv.push("agent/" + who, "list", who + " spins straw", 9, std::chrono::hours(1)));
    ASSERT_TRUE(kv.add("agent/" + who, who + " count", 1));
  }
  EXPECT_NE(everything_on(kv.pool()).find("rumpelstilzchen"), std::string::npos);
  EXPECT_EQ(kv.clear("agent/rumpelstilzchen").value(), 602U);
  const std::string left = everything_on(kv.pool());
  EXPECT_EQ(left.find("rumpelstilzchen"), std::string::npos);
  EXPECT_NE(left.find("schneewittchen was here"), std::string::npos);

  // The log is the server's: it drops what is gone when the server rewrites it, as it does by itself when it has grown.
  ASSERT_TRUE(kv.pool().run({{"BGREWRITEAOF"}}));
  const auto in_its_files = [&] {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(redis.folder())) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      if (bytes.find("rumpelstilzchen") != bytes.npos) return true;
    }
    return false;
  };
  for (int i = 0; i < 1000 && in_its_files(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(in_its_files());
}

TEST(RedisPool, SendsManyCommandsInOneGo) {
  RedisPool pool(server().options());
  std::vector<RedisCommand> commands(1000, {"INCR", "pipelined"});
  commands.push_back({"NONSENSE"});
  commands.push_back({"INCR", "pipelined"});
  const auto replies = pool.run(commands);
  ASSERT_TRUE(replies);
  EXPECT_EQ((*replies)[999].integer, 1000);
  EXPECT_EQ((*replies)[1000].kind, RedisReply::Kind::error);
  EXPECT_EQ((*replies)[1001].integer, 1001) << "a refused command does not stop the others";
}

TEST(RedisPool, UrlsSayWhereTheServerIs) {
  const auto full = parse_redis_url("redis://ann:se:cret@box.local:7000/3").value();
  EXPECT_EQ(full.host, "box.local");
  EXPECT_EQ(full.port, 7000);
  EXPECT_EQ(full.user, "ann");
  EXPECT_EQ(full.password, "se:cret");
  EXPECT_EQ(full.database, 3);
  EXPECT_EQ(parse_redis_url("redis://localhost")->port, 6379);
  EXPECT_EQ(parse_redis_url("redis://[::1]:7000")->host, "::1");
  EXPECT_EQ(parse_redis_url("redis+unix:///run/redis.sock")->socket, "/run/redis.sock");
  for (const char* bad : {"http://x", "redis://", "redis://h:x", "redis://h:1/x", "redis://pw@h", "redis+unix://x"}) {
    EXPECT_FALSE(parse_redis_url(bad)) << bad;
  }
}

}  // namespace
}  // namespace skep::store
