#include "cache/threaded_level.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "base/simulated_event_loop.h"
#include "store/lmdb_key_value.h"
#include "store/testing_folder.h"

namespace skep::cache {
namespace {

using namespace std::chrono_literals;

// A simulated loop that other threads may post to.
class LoopAcrossThreads final : public EventLoop {
 public:
  const Clock& clock() const override { return clock_; }
  void post(std::function<void()> work) override {
    std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(work));
    came_.notify_all();
  }
  TimerId after(Duration delay, std::function<void()> work) override { return loop_.after(delay, std::move(work)); }
  void cancel(TimerId timer) override { loop_.cancel(timer); }
  void blocking(std::function<void()> work, std::function<void()> done) override {
    loop_.blocking(std::move(work), std::move(done));
  }
  void advance(Duration by) {
    clock_.ns += by.count();
    loop_.advance(by);
  }
  // Runs what is posted until it holds.
  template <typename Condition>
  void run_until(const Condition& holds) {
    while (!holds()) {
      std::unique_lock lock(mutex_);
      came_.wait(lock, [&] { return !inbox_.empty(); });
      auto works = std::exchange(inbox_, {});
      lock.unlock();
      for (auto& work : works) work();
    }
  }

 private:
  struct SharedClock final : Clock {
    TimePoint now() const override { return TimePoint(Duration(ns)); }
    WallTime wall() const override { return WallTime(Duration(ns)); }
    std::atomic<int64_t> ns = 0;
  };
  SharedClock clock_;
  SimulatedEventLoop loop_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<std::function<void()>> inbox_;
};

// A table in memory that can be made to hang or fail.
class MapTable final : public store::AnswerTable {
 public:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool hangs = false, down = false, shared = false;
    int inside = 0, asked = 0;
    std::map<std::string, store::KeptAnswer> answers;
    std::map<std::string, uint64_t> tags;
    uint64_t epoch = 0;
    std::vector<std::string> calls;
  };
  explicit MapTable(std::shared_ptr<State> s) : state(std::move(s)) {}

  Result<std::optional<store::KeptAnswer>> get(std::string_view key, WallTime now) override {
    auto lock = enter("get");
    if (state->down) return away();
    auto found = state->answers.find(std::string(key));
    if (found == state->answers.end() || now >= found->second.expires || !valid(found->second)) return std::nullopt;
    return found->second;
  }
  Status put(std::vector<store::KeptAnswer> answers) override {
    auto lock = enter("put");
    if (state->down) return away();
    for (auto& answer : answers) {
      if (valid(answer)) state->answers[answer.key] = answer;
    }
    return {};
  }
  Result<uint64_t> invalidate(const std::string& tag) override {
    auto lock = enter("invalidate " + tag);
    if (state->down) return away();
    return state->tags[tag] = ++state->epoch;
  }
  Status forget(const std::string& tag) override {
    auto lock = enter("forget " + tag);
    if (state->down) return away();
    state->tags[tag] = ++state->epoch;
    std::erase_if(state->answers, [&](const auto& entry) { return !valid(entry.second); });
    return {};
  }
  Result<News> news(uint64_t since) override {
    auto lock = enter("");
    if (state->down) return away();
    News news{state->epoch, {}};
    for (const auto& [tag, epoch] : state->tags) {
      if (epoch > since) news.tags.push_back(tag);
    }
    return news;
  }
  Status keep_house(WallTime) override { return {}; }
  bool shared() const override { return state->shared; }

 private:
  static tl::unexpected<Error> away() { return fail(ErrorCode::unavailable, "down"); }
  bool valid(const store::KeptAnswer& answer) const {
    for (const auto& [tag, epoch] : state->tags) {
      const bool has = tag == "*" || std::find(answer.tags.begin(), answer.tags.end(), tag) != answer.tags.end();
      if (has && epoch > answer.seen) return false;
    }
    return true;
  }
  std::unique_lock<std::mutex> enter(const std::string& what) {
    std::unique_lock lock(state->mutex);
    if (!what.empty()) state->calls.push_back(what);
    ++state->inside;
    state->changed.notify_all();
    state->changed.wait(lock, [this] { return !state->hangs; });
    --state->inside;
    return lock;
  }
  std::shared_ptr<State> state;
};

CacheKey key(int n) { return CacheKeyBuilder().integer("n", n).finish(); }

class ThreadedLevelTest : public ::testing::Test {
 protected:
  ThreadedLevelTest() {
    options.name = "test";
    options.pause = 0s;  // of the thread, in real time; a test that wants one sets it
  }
  std::unique_ptr<ThreadedLevel> make() {
    return std::make_unique<ThreadedLevel>(loop, std::make_unique<MapTable>(table), options);
  }
  Kept kept(const std::string& value, std::vector<std::string> tags = {}) {
    return {value, std::move(tags), loop.clock().wall(), loop.clock().wall() + 1h};
  }
  // What a look-up comes to, without waiting for its time.
  std::optional<std::string> find(ThreadedLevel& level, int n) {
    std::optional<std::optional<Kept>> found;
    level.find(key(n), [&](std::optional<Kept> one) { found = std::move(one); });
    EXPECT_FALSE(found) << "never from inside";
    loop.run_until([&] { return found.has_value(); });
    return *found ? std::optional((*found)->value) : std::nullopt;
  }
  Status invalidate(ThreadedLevel& level, const std::string& tag, bool forget = false) {
    std::optional<Status> done;
    level.invalidate(tag, forget, [&](const Status& status) { done = status; });
    loop.run_until([&] { return done.has_value(); });
    return *done;
  }
  // Until the table has all that was kept: look-ups go before it.
  static void written(ThreadedLevel& level) {
    while (level.counters().waiting != Bytes(0)) std::this_thread::yield();
  }
  void set(bool MapTable::State::*what, bool value) {
    std::lock_guard lock(table->mutex);
    (*table).*what = value;
    table->changed.notify_all();
  }
  void wait_inside() {
    std::unique_lock lock(table->mutex);
    table->changed.wait(lock, [this] { return table->inside > 0; });
  }

  LoopAcrossThreads loop;
  std::shared_ptr<MapTable::State> table = std::make_shared<MapTable::State>();
  ThreadedLevelOptions options;
};

TEST_F(ThreadedLevelTest, WhatIsKeptIsFoundByTheNextOne) {
  {
    auto level = make();
    level->keep(key(1), kept("one", {"t"}));
  }
  auto level = make();
  EXPECT_EQ(find(*level, 1), "one");
  EXPECT_FALSE(find(*level, 2));
  EXPECT_EQ(level->counters().hits, 1);
  EXPECT_EQ(level->counters().misses, 1);
}

TEST_F(ThreadedLevelTest, ATableThatHangsCostsOneLookUpItsPatienceAndTheNextOnesNothing) {
  options.pause = 5s;
  auto level = make();
  level->keep(key(1), kept("one"));
  written(*level);
  EXPECT_EQ(find(*level, 1), "one");
  set(&MapTable::State::hangs, true);
  std::optional<bool> first;
  level->find(key(1), [&](const std::optional<Kept>& found) { first = found.has_value(); });
  wait_inside();
  loop.advance(options.patience - 1ms);
  EXPECT_FALSE(first);
  loop.advance(1ms);
  ASSERT_TRUE(first);
  EXPECT_FALSE(*first);
  EXPECT_EQ(level->counters().late, 1);
  EXPECT_FALSE(find(*level, 1)) << "while the table still hangs";
  EXPECT_EQ(level->counters().skipped, 1);
  set(&MapTable::State::hangs, false);
  EXPECT_FALSE(find(*level, 1)) << "left alone for the pause";
  loop.advance(5s);
  EXPECT_EQ(find(*level, 1), "one");
}

TEST_F(ThreadedLevelTest, ATableThatIsAwayKeepsWhatComesWaitingUpToTheQueue) {
  options.queue = 3_KiB;
  auto level = make();
  set(&MapTable::State::down, true);
  for (int i = 0; i < 100; ++i) level->keep(key(i), kept(std::string(100, 'x')));
  EXPECT_FALSE(find(*level, 1));
  EXPECT_GE(level->counters().shed, 80);
  EXPECT_LE(level->counters().waiting, 3_KiB);
  EXPECT_TRUE(level->counters().trouble);
  set(&MapTable::State::down, false);
  std::optional<std::string> found;
  while (!found) found = find(*level, 1);  // until it is written
  EXPECT_FALSE(level->counters().trouble);
}

TEST_F(ThreadedLevelTest, WhatWasInvalidatedWhileTheTableIsAwayIsNeverFound) {
  auto level = make();
  level->keep(key(1), kept("one", {"t"}));
  level->keep(key(2), kept("two", {"u"}));
  written(*level);
  EXPECT_EQ(find(*level, 1), "one");
  set(&MapTable::State::down, true);
  EXPECT_EQ(invalidate(*level, "t").error().code, ErrorCode::unavailable);
  set(&MapTable::State::down, false);
  std::optional<std::string> other;
  while (!other) {
    EXPECT_FALSE(find(*level, 1));
    other = find(*level, 2);
  }
  EXPECT_FALSE(find(*level, 1));
}

TEST_F(ThreadedLevelTest, AnInvalidationGoesBeforeTheLookUpsThatFollowIt) {
  auto level = make();
  level->keep(key(1), kept("one", {"t"}));
  written(*level);
  EXPECT_EQ(find(*level, 1), "one");
  set(&MapTable::State::hangs, true);
  level->find(key(9), [](const std::optional<Kept>&) {});
  wait_inside();
  std::optional<bool> found;
  level->find(key(1), [&](const std::optional<Kept>& one) { found = one.has_value(); });
  level->invalidate("t", false, [](const Status&) {});
  set(&MapTable::State::hangs, false);
  loop.run_until([&] { return found.has_value(); });
  EXPECT_FALSE(*found);
}

TEST_F(ThreadedLevelTest, AnAnswerMadeBeforeAnInvalidationIsNotKeptAfterIt) {
  auto level = make();
  set(&MapTable::State::hangs, true);
  level->find(key(9), [](const std::optional<Kept>&) {});  // the thread is busy
  wait_inside();
  level->keep(key(1), kept("old", {"t"}));
  level->invalidate("t", false, [](const Status&) {});
  set(&MapTable::State::hangs, false);
  written(*level);
  EXPECT_FALSE(find(*level, 1));
  EXPECT_TRUE(invalidate(*level, "other"));
  level->keep(key(2), kept("new", {"t"}));
  written(*level);
  EXPECT_EQ(find(*level, 2), "new") << "it knows of both";
}

TEST_F(ThreadedLevelTest, MoreLookUpsThanWaitAreMisses) {
  options.lookups = 4;
  auto level = make();
  set(&MapTable::State::hangs, true);
  int missed = 0;
  for (int i = 0; i < 10; ++i) level->find(key(i), [&](const std::optional<Kept>&) { ++missed; });
  EXPECT_EQ(level->counters().skipped, 6);
  loop.run_until([&] { return missed == 6; });
  set(&MapTable::State::hangs, false);
  loop.run_until([&] { return missed == 10; });
}

TEST_F(ThreadedLevelTest, MoreOrdersThanWaitAreOneForEverything) {
  options.orders = 4;
  auto level = make();
  level->keep(key(1), kept("one", {"anything"}));
  written(*level);
  EXPECT_EQ(find(*level, 1), "one");
  set(&MapTable::State::hangs, true);
  int done = 0;
  for (int i = 0; i < 20; ++i) level->invalidate("t" + std::to_string(i), i == 7, [&](const Status&) { ++done; });
  set(&MapTable::State::hangs, false);
  loop.run_until([&] { return done == 20; });
  EXPECT_FALSE(find(*level, 1));
  std::lock_guard lock(table->mutex);
  EXPECT_LE(table->calls.size(), 12U);
  EXPECT_EQ(std::count(table->calls.begin(), table->calls.end(), "forget *"), 1) << "one of them was to forget";
}

// With a journal, as processes that follow each other have it.
class JournalledLevelTest : public ThreadedLevelTest {
 protected:
  std::unique_ptr<ThreadedLevel> make(Duration pause) {
    ThreadedLevelOptions own;
    own.name = "test";
    own.pause = pause;
    own.orders = 4;
    own.journal = std::make_shared<OrderJournal>(values_, "test");
    return std::make_unique<ThreadedLevel>(loop, std::make_unique<MapTable>(table), std::move(own));
  }
  size_t noted() { return OrderJournal(values_, "test").load()->size(); }
  void with_one_and_two() {
    auto level = make(0s);
    level->keep(key(1), kept("one", {"t"}));
    level->keep(key(2), kept("two", {"u"}));
    written(*level);
  }

  store::TestingFolder folder_;
  std::unique_ptr<store::Store> store_ = *store::Store::open({.folder = folder_.path()});
  store::LmdbKeyValue values_{*store_, loop.clock()};
};

TEST_F(JournalledLevelTest, WhatWasInvalidatedWhileTheTableIsAwayIsNeverFoundByTheNextProcess) {
  with_one_and_two();
  set(&MapTable::State::down, true);
  {
    auto level = make(1h);
    const Status told = invalidate(*level, "t");
    EXPECT_EQ(told.error().code, ErrorCode::unavailable);
    EXPECT_NE(told.error().hint.find("after a restart too"), std::string::npos);
    EXPECT_FALSE(invalidate(*level, "v", true)) << "told at once: the table is known to be away";
  }
  EXPECT_EQ(noted(), 2U);
  {
    auto level = make(1h);  // the table is still away
    EXPECT_FALSE(find(*level, 1));
  }
  EXPECT_EQ(noted(), 2U);
  set(&MapTable::State::down, false);
  auto level = make(0s);
  EXPECT_FALSE(find(*level, 1)) << "orders go first";
  EXPECT_EQ(find(*level, 2), "two");
  level.reset();
  EXPECT_EQ(noted(), 0U) << "carried out once";
  std::lock_guard lock(table->mutex);
  EXPECT_EQ(std::count(table->calls.begin(), table->calls.end(), "forget v"), 1);
}

TEST_F(JournalledLevelTest, WhatIsCarriedOutLeavesTheJournal) {
  auto level = make(0s);
  EXPECT_TRUE(invalidate(*level, "t"));
  EXPECT_TRUE(invalidate(*level, "u", true));
  level.reset();
  EXPECT_EQ(noted(), 0U);
  level = make(0s);
  EXPECT_FALSE(find(*level, 1));
  std::lock_guard lock(table->mutex);
  EXPECT_EQ(std::count(table->calls.begin(), table->calls.end(), "invalidate t"), 1);
}

TEST_F(JournalledLevelTest, TheJournalIsBoundedToo) {
  with_one_and_two();
  set(&MapTable::State::down, true);
  {
    auto level = make(1h);
    for (int i = 0; i < 30; ++i) EXPECT_FALSE(invalidate(*level, "x" + std::to_string(i), i == 20));
  }
  EXPECT_LE(noted(), 5U);
  set(&MapTable::State::down, false);
  auto level = make(0s);
  EXPECT_FALSE(find(*level, 2)) << "some of them are for everything";
}

TEST_F(JournalledLevelTest, AJournalThatCantBeReadMakesEverythingInvalid) {
  with_one_and_two();
  ASSERT_TRUE(values_.put("cache-orders", "test:?", "it"));
  auto level = make(0s);
  EXPECT_FALSE(find(*level, 1));
  EXPECT_FALSE(find(*level, 2));
}

TEST_F(ThreadedLevelTest, HearsWhatOthersInvalidateAndKeepsNothingUntilItHasHeard) {
  table->shared = true;
  table->tags["old"] = table->epoch = 3;
  options.news_every = 1ms;
  std::vector<uint64_t> saved;
  std::mutex saving;
  options.load_seen = [] { return uint64_t{3}; };
  options.save_seen = [&](uint64_t epoch) {
    std::lock_guard lock(saving);
    saved.push_back(epoch);
  };
  set(&MapTable::State::hangs, true);
  auto level = make();
  std::vector<std::string> heard;
  std::function<void()> applied;
  level->on_invalidated([&](const auto& tags, const auto& done) {
    heard.insert(heard.end(), tags.begin(), tags.end());
    applied = done;
  });
  level->keep(key(1), kept("too early"));
  EXPECT_EQ(level->counters().shed, 1);
  set(&MapTable::State::hangs, false);
  while (level->counters().written == 0) {
    find(*level, 1);  // what is posted is run
    level->keep(key(1), kept("one", {"t"}));
  }
  EXPECT_TRUE(heard.empty()) << "it was known from before";
  {
    std::lock_guard lock(table->mutex);  // another process
    table->tags["t"] = ++table->epoch;
  }
  loop.run_until([&] { return !heard.empty(); });
  EXPECT_EQ(heard, std::vector<std::string>{"t"});
  EXPECT_FALSE(find(*level, 1));
  {
    std::lock_guard lock(saving);
    EXPECT_TRUE(std::find(saved.begin(), saved.end(), 4U) == saved.end()) << "not before it holds here";
  }
  applied();
  level.reset();
  EXPECT_EQ(saved.back(), 4U);
}

TEST_F(ThreadedLevelTest, WhatItInvalidatedItselfIsNoNews) {
  table->shared = true;
  options.news_every = 1ms;
  auto level = make();
  std::vector<std::string> heard;
  level->on_invalidated([&](const auto& tags, const auto& done) {
    heard.insert(heard.end(), tags.begin(), tags.end());
    done();
  });
  while (level->counters().written == 0) {
    find(*level, 1);
    level->keep(key(1), kept("one"));
  }
  EXPECT_TRUE(invalidate(*level, "mine"));
  {
    std::lock_guard lock(table->mutex);
    table->tags["theirs"] = ++table->epoch;
  }
  loop.run_until([&] { return !heard.empty(); });
  EXPECT_EQ(heard, std::vector<std::string>{"theirs"});
}

}  // namespace
}  // namespace skep::cache
