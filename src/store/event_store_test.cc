// The same tests on both event stores; then what is each one's own.

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/random.h"
#include "store/event_log.h"
#include "store/postgres_connection.h"
#include "store/postgres_events.h"
#include "store/sqlite_events.h"
#include "store/testing_folder.h"
#include "store/testing_postgres.h"
#include "store/testing_postgres_sweep.h"

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

TYPED_TEST(EventStoreTest, ForgetsAnAgentAndNobodyElse) {
  ASSERT_TRUE(this->store->append({event(kNoon - 48h, "task.finished", "a"), event(kNoon, "task.failed", "b"),
                                   event(kNoon, "model.loaded", ""), event(kNoon + 1h, "task.finished", "a")}));
  ASSERT_TRUE(this->store->forget("a"));
  ASSERT_TRUE(this->store->forget(""));
  EXPECT_EQ(this->kinds({.newest_first = false}), (Names{"task.failed", "model.loaded"}));
}

TYPED_TEST(EventStoreTest, TheLogForgetsWhatStillWaitsToo) {
  SystemClock clock;
  EventLog log(this->kind->open(), clock, {.collect = 10s});
  log.add(event(kNoon, "task.finished", "a"));
  log.add(event(kNoon, "task.finished", "b"));
  ASSERT_TRUE(log.forget("a"));
  ASSERT_TRUE(log.flush(30s));
  auto events = log.query({});
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 1U);
  EXPECT_EQ(events->front().agent, "b");
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
  Status forget(const std::string&) override { return {}; }
  std::string_view name() const override { return "away"; }
  int64_t written = 0;

 private:
  std::shared_ptr<std::atomic<bool>> away_;
};

TEST(SqliteEvents, TheOldestGoWhenTheFileIsFull) {
  TestingFolder folder;
  auto store = std::move(*SqliteEvents::open(folder / "events.db", 4_MiB));
  for (int batch = 0; batch < 60; ++batch) {
    std::vector<Event> events(1000, event(kNoon + std::chrono::seconds(batch), "x.y"));
    for (Event& one : events) one.detail = std::string(200, 'd');
    ASSERT_TRUE(store->append(events));  // 60 times some 250 kB
  }
  EXPECT_LT(std::filesystem::file_size(folder / "events.db"), 7U << 20U);
  EXPECT_EQ(store->query({.limit = 1})->front().at, kNoon + 59s);
  EXPECT_GT(store->query({.limit = 1, .newest_first = false})->front().at, kNoon + 20s);
}

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

// Refuses a whole batch for one of its events.
class PickyStore final : public EventStore {
 public:
  explicit PickyStore(std::shared_ptr<std::atomic<int>> tries) : tries_(std::move(tries)) {}
  Status append(const std::vector<Event>& events) override {
    ++*tries_;
    for (const Event& one : events) {
      if (one.kind == "bad.one") return fail(ErrorCode::invalid_argument, "not this one");
    }
    return {};
  }
  Result<std::vector<Event>> query(const EventFilter&) override { return std::vector<Event>(); }
  Status keep_house(WallTime, Duration) override { return {}; }
  Status forget(const std::string&) override { return {}; }
  std::string_view name() const override { return "picky"; }

 private:
  std::shared_ptr<std::atomic<int>> tries_;
};

TEST(EventLog, AnEventThatItsStoreRefusesIsDroppedAndHoldsUpNobody) {
  SystemClock clock;
  auto tries = std::make_shared<std::atomic<int>>(0);
  EventLogOptions options;
  options.collect = 1ms;
  EventLog log(std::make_unique<PickyStore>(tries), clock, options);
  for (int i = 0; i < 3000; ++i) log.add(event({}, i == 700 || i == 2111 ? "bad.one" : "x.y"));
  ASSERT_TRUE(log.flush(30s));
  EXPECT_EQ(log.counters().written, 2998);
  EXPECT_EQ(log.counters().dropped, 2);
  EXPECT_LT(*tries, 80) << "halved, not one by one";
}

TEST(EventLog, AQueryThatHangsHoldsUpOneThreadAlone) {
  struct Gated final : EventStore {
    Status append(const std::vector<Event>&) override { return {}; }
    Result<std::vector<Event>> query(const EventFilter&) override {
      inside = true;
      std::lock_guard wait(gate);
      return std::vector<Event>();
    }
    Status keep_house(WallTime, Duration) override { return {}; }
    Status forget(const std::string&) override { return {}; }
    std::string_view name() const override { return "gated"; }
    std::mutex gate;
    std::atomic<bool> inside = false;
  };
  SystemClock clock;
  auto made = std::make_unique<Gated>();
  Gated& store = *made;
  EventLogOptions options;
  options.patience = 1ms;
  EventLog log(std::move(made), clock, options);
  std::unique_lock closed(store.gate);
  std::thread first([&] { EXPECT_TRUE(log.query({})); });
  while (!store.inside) std::this_thread::yield();
  EXPECT_EQ(log.query({}).error().code, ErrorCode::overloaded);
  closed.unlock();
  first.join();
  EXPECT_TRUE(log.query({}));
}

TEST(PgConnection, AServerThatHangsIsGivenUpAndAskedAgainLater) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  PgConnection db(server()->connection(), {.limit = 200ms, .session = {}});
  ASSERT_TRUE(db.run("SELECT 1"));
  server()->hang();
  const auto one = db.run({"SELECT 1", {}});
  EXPECT_EQ(one.error().code, ErrorCode::unavailable);
  EXPECT_EQ(db.run_together({{"SELECT 1", {}}, {"SELECT 2", {}}}).error().code, ErrorCode::unavailable);
  EXPECT_EQ(db.copy_in("COPY pg_class FROM STDIN", "x").error().code, ErrorCode::unavailable);
  server()->go_on();
  Status back;
  do {  // it is left alone for as long as it let us wait
    std::this_thread::sleep_for(10ms);
    back = db.run("SELECT 1");
  } while (!back && back.error().code == ErrorCode::unavailable);
  EXPECT_TRUE(back) << back.error().text();
}

TEST(PgConnection, AStatementThatTakesTooLongEndsAndTheConnectionGoesOn) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  PgConnection db(server()->connection(), {.limit = 100ms, .session = {}});
  EXPECT_EQ(db.run("SELECT pg_sleep(60)").error().code, ErrorCode::deadline_exceeded);
  EXPECT_TRUE(db.run("SELECT 1"));
  db.set_limit(30s);
  EXPECT_TRUE(db.run("SELECT pg_sleep(0.3)"));
}

TEST(PgConnection, AfterARestartTheFirstCallSucceedsWithTheSessionsSettings) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  PgConnection db(server()->connection(), {.limit = 10s, .session = {"SET work_mem = '7MB'", "SET no_such = 1"}});
  EXPECT_EQ(db.run({"SHOW work_mem", {}})->text(0, 0), "7MB");
  server()->kill();
  ASSERT_TRUE(server()->run());
  const auto after = db.run({"SHOW work_mem", {}});
  ASSERT_TRUE(after) << after.error().text();
  EXPECT_EQ(after->text(0, 0), "7MB");
}

TEST(PostgresEvents, AHungServerKeepsNobodyFromEnding) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  Postgres fresh;
  SystemClock clock;
  {
    EventLogOptions options;
    options.collect = 1ms;
    EventLog log(PostgresEvents::make({.url = server()->connection(), .limit = 200ms}), clock, options);
    log.add(event({}, "x.y"));
    ASSERT_TRUE(log.flush(30s));
    server()->hang();
    for (int i = 0; i < 10; ++i) log.add(event({}, "x.y"));
    EXPECT_FALSE(log.query({}));
    EXPECT_FALSE(log.query({}));
  }
  server()->go_on();
}

TEST(PostgresEvents, OneEventThatCannotBeKeptCostsNoOther) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  Postgres fresh;
  SystemClock clock;
  EventLogOptions options;
  options.collect = 1ms;
  EventLog log(PostgresEvents::make({.url = server()->connection()}), clock, options);
  Event cut = event({}, "task.failed", "a");
  cut.detail = "answered 400: r\xc3\xa9sum\xc3";  // cut in mid-character
  Random random(1);
  std::string endless;  // more than an index takes
  for (int i = 0; i < 20'000; ++i) endless += static_cast<char>('!' + random.below(90));
  log.add(event({}, "before.x"));
  log.add(cut);
  log.add(event({}, "endless.agent", endless));
  log.add(event({}, "after.x"));
  ASSERT_TRUE(log.flush(30s)) << (log.counters().trouble ? log.counters().trouble->text() : "");
  EXPECT_EQ(log.counters().written, 3);
  EXPECT_EQ(log.counters().dropped, 1);
  EXPECT_EQ(log.query({.kind = "task"})->front().detail, "answered 400: r\xc3\xa9sum\xef\xbf\xbd");
}

TEST(PostgresEvents, NothingOfAForgottenAgentIsInAnyTableOrFileOfTheServer) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here: scripts/setup --test installs it";
  Postgres kind;
  const auto store = kind.open();
  std::vector<Event> events;
  for (int i = 0; i < 300; ++i) {
    events.push_back(event(kNoon + i * 10min, "task.finished", i % 3 == 0 ? "schneewittchen" : "rumpelstilzchen"));
    events.back().detail = events.back().agent + " was asked";
  }
  ASSERT_TRUE(store->append(events));
  ASSERT_TRUE(PgConnection(server()->connection()).run("VACUUM ANALYZE"));
  EXPECT_GE(places_with("rumpelstilzchen", *server(), "postgres").size(), 4U) << "three days and their statistics";
  ASSERT_TRUE(store->forget("rumpelstilzchen"));
  EXPECT_EQ(places_with("rumpelstilzchen", *server(), "postgres"), std::vector<std::string>());
  EXPECT_FALSE(places_with("schneewittchen", *server(), "postgres").empty()) << "another's events are where they were";
  ASSERT_TRUE(store->forget("schneewittchen"));
  EXPECT_EQ(places_with("schneewittchen", *server(), "postgres"), std::vector<std::string>()) << "nor of the last one";
  EXPECT_TRUE(store->query({})->empty());
}

TEST(PostgresEvents, QueriesGoToTheReplica) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  Postgres fresh;
  ASSERT_TRUE(PgConnection(server()->connection()).run("DROP DATABASE IF EXISTS replica"));
  ASSERT_TRUE(PgConnection(server()->connection()).run("CREATE DATABASE replica"));
  PostgresEvents there({.url = server()->connection("replica")});
  ASSERT_TRUE(there.append({event(kNoon, "on.replica")}));
  PostgresEvents store({.url = server()->connection(), .replica_url = server()->connection("replica")});
  ASSERT_TRUE(store.append({event(kNoon, "on.primary")}));
  const auto seen = store.query({});
  ASSERT_TRUE(seen && seen->size() == 1);
  EXPECT_EQ(seen->front().kind, "on.replica");
  EXPECT_EQ(PostgresEvents({.url = server()->connection()}).query({})->front().kind, "on.primary");
}

TEST(PostgresEvents, AShortRangeOfALongDayIsFoundByBrin) {
  if (server() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  Postgres fresh;
  PostgresEvents store({.url = server()->connection()});
  ASSERT_TRUE(store.append({event(kNoon, "first.x")}));
  PgConnection db(server()->connection(), {.limit = 60s, .session = {}});
  ASSERT_TRUE(
      db.run("INSERT INTO events SELECT '2026-11-21 12:00:00+00'::timestamptz + i * interval '100 ms', 'x.y', '', '', "
             "'', '', 0, 0, 0, 0, repeat('d', 100) FROM generate_series(1, 200000) i; ANALYZE events"));
  const auto plan = store.explain({.since = kNoon + 1h, .until = kNoon + 1h + 10s});
  ASSERT_TRUE(plan) << plan.error().text();
  EXPECT_NE(plan->find("Bitmap Index Scan on events_20261121_at_idx"), std::string::npos) << *plan;
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
