// The same tests on both event stores; then what is each one's own.

#include <gtest/gtest.h>

#include <thread>

#include "store/event_log.h"
#include "store/postgres_connection.h"
#include "store/postgres_events.h"
#include "store/sqlite_events.h"
#include "store/testing_folder.h"
#include "store/testing_postgres.h"

namespace skep::store {
namespace {

using namespace std::chrono_literals;

const WallTime kNoon{std::chrono::seconds(1'795'262'400)};  // 2026-11-21 12:00 UTC

// One server for all tests of this program; each test begins with an empty database. nullptr: none is installed.
TestingPostgres* server() {
  static const auto started = TestingPostgres::start(SKEP_DEPS, TestingPostgres::Vectors::not_needed);
  return started ? started->get() : nullptr;
}

struct Sqlite {
  static bool available() { return true; }
  std::unique_ptr<EventStore> open() { return std::move(*SqliteEvents::open(folder / "events.db")); }
  TestingFolder folder;
};

struct Postgres {
  static bool available() { return server() != nullptr; }
  std::unique_ptr<EventStore> open() { return PostgresEvents::make({.url = server()->connection()}); }
  Postgres() { EXPECT_TRUE(PgConnection(server()->connection()).run("DROP TABLE IF EXISTS events")); }
};

Event event(WallTime at, const std::string& kind, const std::string& agent = "", const std::string& model = "") {
  Event event;
  event.at = at;
  event.kind = kind;
  event.agent = agent;
  event.model = model;
  return event;
}

template <typename Kind>
class EventStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Kind::available()) GTEST_SKIP() << "no PostgreSQL here: scripts/setup --test installs it";
    kind.emplace();
    store = kind->open();
  }
  std::vector<std::string> kinds(const EventFilter& filter) {
    std::vector<std::string> names;
    auto events = store->query(filter);
    EXPECT_TRUE(events) << events.error().text();
    if (events) {
      for (const Event& event : *events) names.push_back(event.kind);
    }
    return names;
  }
  std::optional<Kind> kind;
  std::unique_ptr<EventStore> store;
};
using Kinds = ::testing::Types<Sqlite, Postgres>;
TYPED_TEST_SUITE(EventStoreTest, Kinds);
using Names = std::vector<std::string>;

TYPED_TEST(EventStoreTest, GivesBackEveryFieldAsItWas) {
  Event all;
  all.at = kNoon + 123456us;
  all.kind = "task.finished";
  all.agent = "log-triage";
  all.model = "tinyllama";
  all.tier = "fast";
  all.caller = "some\tone\\with\nodd \"characters\" \xc3\xa4";
  all.task = int64_t{1} << 40;
  all.seconds = 0.1;
  all.prompt_tokens = 17;
  all.completion_tokens = 4;
  all.detail = "";
  ASSERT_TRUE(this->store->append({all}));
  auto events = this->store->query({});
  ASSERT_TRUE(events) << events.error().text();
  ASSERT_EQ(events->size(), 1U);
  EXPECT_EQ(events->front(), all);
}

TYPED_TEST(EventStoreTest, FiltersByTimeKindAgentAndModel) {
  ASSERT_TRUE(this->store->append({event(kNoon - 48h, "task.finished", "a", "m"), event(kNoon - 1h, "task.failed", "b"),
                                   event(kNoon, "model.loaded", "", "m"), event(kNoon + 1h, "taskless", "a")}));
  EventFilter filter;
  EXPECT_EQ(this->kinds(filter), (Names{"taskless", "model.loaded", "task.failed", "task.finished"}));
  filter.newest_first = false;
  filter.limit = 2;
  EXPECT_EQ(this->kinds(filter), (Names{"task.finished", "task.failed"}));
  EXPECT_EQ(this->kinds({.kind = "task"}), (Names{"task.failed", "task.finished"})) << "an area, not a prefix";
  EXPECT_EQ(this->kinds({.kind = "task.failed"}), Names{"task.failed"});
  EXPECT_EQ(this->kinds({.agent = "a"}), (Names{"taskless", "task.finished"}));
  EXPECT_EQ(this->kinds({.model = "m"}), (Names{"model.loaded", "task.finished"}));
  EXPECT_EQ(this->kinds({.since = kNoon - 1h, .until = kNoon}), Names{"task.failed"}) << "from, not to";
  EXPECT_EQ(this->kinds({.agent = "'; DROP TABLE events; --"}), Names{});
}

TYPED_TEST(EventStoreTest, RetentionDropsWhatIsOlderAndKeepsTheRest) {
  for (int day = 0; day < 10; ++day) ASSERT_TRUE(this->store->append({event(kNoon - day * 24h, "day.x")}));
  ASSERT_TRUE(this->store->keep_house(kNoon, 72h));
  auto events = this->store->query({});
  ASSERT_TRUE(events);
  EXPECT_GE(events->size(), 3U);
  EXPECT_LE(events->size(), 4U) << "PostgreSQL drops whole days";
  ASSERT_TRUE(this->store->append({event(kNoon, "after.x")}));
}

TYPED_TEST(EventStoreTest, TheLogWritesAllOfManyThreads) {
  SystemClock clock;
  EventLog log(this->kind->open(), clock, {});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) log.add(event({}, "task.finished", "agent"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(log.flush(30s)) << (log.counters().trouble ? log.counters().trouble->text() : "");
  EXPECT_EQ(log.counters().written, 2000);
  EXPECT_EQ(log.counters().shed, 0);
  EXPECT_EQ(log.query({.limit = 5000})->size(), 2000U);
}

TYPED_TEST(EventStoreTest, WhatWaitsIsWrittenAtTheEnd) {
  SystemClock clock;
  {
    EventLog log(this->kind->open(), clock, {});
    for (int i = 0; i < 10; ++i) log.add(event({}, "x.y"));
  }
  EXPECT_EQ(this->store->query({})->size(), 10U);
}

// A store that is away until somebody says otherwise.
class AwayStore final : public EventStore {
 public:
  explicit AwayStore(std::shared_ptr<std::atomic<bool>> away) : away_(std::move(away)) {}
  Status append(const std::vector<Event>& events) override {
    if (*away_) return fail(ErrorCode::unavailable, "away");
    written += static_cast<int64_t>(events.size());
    return {};
  }
  Result<std::vector<Event>> query(const EventFilter&) override { return std::vector<Event>(); }
  Status keep_house(WallTime, Duration) override { return {}; }
  std::string_view name() const override { return "away"; }
  int64_t written = 0;

 private:
  std::shared_ptr<std::atomic<bool>> away_;
};

TEST(EventLog, ShedsAndCountsWhenItsStoreStaysAway) {
  SystemClock clock;
  auto away = std::make_shared<std::atomic<bool>>(true);
  EventLogOptions options;
  options.queue = 100;
  options.collect = 1ms;
  options.retry = 1ms;
  EventLog log(std::make_unique<AwayStore>(away), clock, options);
  for (int i = 0; i < 250; ++i) log.add(event({}, "x.y"));  // never waits
  EXPECT_EQ(log.counters().shed, 150);
  while (log.counters().failures == 0) std::this_thread::yield();  // until it has tried
  EXPECT_FALSE(log.flush(1ms));
  EXPECT_TRUE(log.counters().trouble);
  *away = false;
  EXPECT_TRUE(log.flush(30s));
  EXPECT_EQ(log.counters().written, 100);
  EXPECT_FALSE(log.counters().trouble);
}

TEST(PostgresEvents, ATimeRangeReadsOnlyItsPartitions) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  Postgres fresh;
  PostgresEvents store({.url = server()->connection()});
  for (int day = 0; day < 10; ++day) ASSERT_TRUE(store.append({event(kNoon - day * 24h, "task.finished", "a")}));
  auto plan = store.explain({.since = kNoon - 26h, .until = kNoon - 24h});
  ASSERT_TRUE(plan) << plan.error().text();
  EXPECT_NE(plan->find("events_20261120"), std::string::npos) << *plan;
  for (const char* other : {"events_20261121", "events_20261119", "events_20261112"}) {
    EXPECT_EQ(plan->find(other), std::string::npos) << *plan;
  }
  auto everything = store.explain({});
  EXPECT_NE(everything->find("events_20261112"), std::string::npos);
}

TEST(PostgresEvents, PartitionsAreThereAheadOfTheirDay) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  Postgres fresh;
  PostgresEvents store({.url = server()->connection(), .days_ahead = 2});
  ASSERT_TRUE(store.keep_house(kNoon, 24h * 30));
  auto plan = store.explain({});
  for (const char* day : {"events_20261121", "events_20261122", "events_20261123"}) {
    EXPECT_NE(plan->find(day), std::string::npos) << *plan;
  }
}

TEST(PostgresEvents, AKilledServerCostsNoEventThatFitsTheQueue) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  Postgres fresh;
  SystemClock clock;
  EventLogOptions options;
  options.collect = 1ms;
  options.retry = 50ms;
  EventLog log(PostgresEvents::make({.url = server()->connection()}), clock, options);
  for (int i = 0; i < 100; ++i) log.add(event({}, "before.kill"));
  ASSERT_TRUE(log.flush(30s));
  server()->kill();
  for (int i = 0; i < 100; ++i) log.add(event({}, "while.away"));
  EXPECT_FALSE(log.flush(300ms));
  EXPECT_EQ(log.query({}).error().code, ErrorCode::unavailable);
  ASSERT_TRUE(server()->run());
  ASSERT_TRUE(log.flush(60s)) << (log.counters().trouble ? log.counters().trouble->text() : "");
  EXPECT_EQ(log.query({.kind = "before", .limit = 1000})->size(), 100U);
  EXPECT_EQ(log.query({.kind = "while", .limit = 1000})->size(), 100U);
  EXPECT_EQ(log.counters().shed, 0);
}

}  // namespace
}  // namespace skep::store
