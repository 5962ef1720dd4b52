// The same tests on everything that can keep the cache's answers; then what is each one's own.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "store/sqlite_database.h"
#include "store/tag_text.h"
#include "store/testing_answer_places.h"

namespace skep::store {

std::string deps_folder() { return SKEP_DEPS; }

namespace {

using namespace std::chrono_literals;

template <typename Place>
class AnswerTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Place::available()) GTEST_SKIP() << "not installed here";
    place.emplace(clock);
    table = place->table();
  }
  KeptAnswer answer(const std::string& key, const std::string& value, std::vector<std::string> tags = {},
                    uint64_t seen = 0) {
    const WallTime now = std::chrono::floor<std::chrono::microseconds>(clock.wall());
    return {key, value, std::move(tags), now, now + 1h, seen};
  }
  std::optional<std::string> value(AnswerTable& from, const std::string& key) {
    auto found = from.get(key, clock.wall());
    EXPECT_TRUE(found) << found.error().text();
    if (!found || !*found) return std::nullopt;
    return (*found)->value;
  }
  std::optional<std::string> value(const std::string& key) { return value(*table, key); }

  ManualClock clock;
  std::optional<Place> place;
  std::unique_ptr<AnswerTable> table;
};
using Places = ::testing::Types<AnswersOnLmdb, AnswersOnRedis, AnswersOnSqlite, AnswersOnPostgres>;
TYPED_TEST_SUITE(AnswerTableTest, Places);
using Tags = std::vector<std::string>;

TYPED_TEST(AnswerTableTest, GivesBackEveryFieldAsItWas) {
  KeptAnswer all = this->answer(std::string("\0key\xff'", 6), std::string("bytes\0of any kind\xff\\", 19),
                                {"agent:ann", "*", std::string("a\0 b\n%\xff\"{,}\\'", 13), ""});
  ASSERT_TRUE(this->table->put({all}));
  const auto found = this->table->get(all.key, this->clock.wall());
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(**found, all);
  EXPECT_FALSE(this->value("other"));
}

TYPED_TEST(AnswerTableTest, AnotherProcessFindsWhatOneKept) {
  ASSERT_TRUE(this->table->put({this->answer("k", "kept", {"t"})}));
  EXPECT_EQ(this->value(*this->place->table(), "k"), "kept");
  ASSERT_TRUE(this->table->invalidate("t"));
  EXPECT_FALSE(this->value(*this->place->table(), "k"));
}

TYPED_TEST(AnswerTableTest, ANewAnswerReplacesTheOld) {
  ASSERT_TRUE(this->table->put({this->answer("k", "old"), this->answer("k", "new")}));
  EXPECT_EQ(this->value("k"), "new");
}

TYPED_TEST(AnswerTableTest, AnAnswerEndsWithItsTime) {
  ASSERT_TRUE(this->table->put({this->answer("k", "an hour")}));
  EXPECT_TRUE(*this->table->get("k", this->clock.wall() + 59min));
  EXPECT_FALSE(*this->table->get("k", this->clock.wall() + 1h));
}

TYPED_TEST(AnswerTableTest, InvalidatingATagEndsWhatHasItAndNothingElse) {
  ASSERT_TRUE(this->table->put({this->answer("a", "a", {"agent:ann", "model:m"}), this->answer("b", "b", {"model:m"}),
                                this->answer("c", "c", {"agent:an"})}));
  const auto epoch = this->table->invalidate("agent:ann");
  ASSERT_TRUE(epoch) << epoch.error().text();
  EXPECT_EQ(*epoch, 1U);
  EXPECT_FALSE(this->value("a"));
  EXPECT_EQ(this->value("b"), "b");
  EXPECT_EQ(this->value("c"), "c") << "another tag's beginning";
  EXPECT_EQ(*this->table->invalidate(kEveryTag), 2U);
  EXPECT_FALSE(this->value("b"));
  EXPECT_FALSE(this->value("c"));
}

TYPED_TEST(AnswerTableTest, WhoHasNotHeardOfAnInvalidationKeepsNothingPastIt) {
  ASSERT_TRUE(this->table->invalidate("t"));
  ASSERT_TRUE(this->table->put({this->answer("late", "old", {"t"}, 0), this->answer("other", "fine", {"u"}, 0),
                                this->answer("heard", "new", {"t"}, 1)}));
  EXPECT_FALSE(this->value("late"));
  EXPECT_EQ(this->value("other"), "fine");
  EXPECT_EQ(this->value("heard"), "new");
  ASSERT_TRUE(this->table->invalidate("t"));
  EXPECT_FALSE(this->value("heard"));
}

TYPED_TEST(AnswerTableTest, NewsAreTheTagsThatWereInvalidatedSince) {
  EXPECT_EQ(this->table->news(0)->epoch, 0U);
  ASSERT_TRUE(this->table->invalidate("a"));
  ASSERT_TRUE(this->table->invalidate("b"));
  ASSERT_TRUE(this->table->invalidate("a"));
  auto news = this->place->table()->news(0);
  ASSERT_TRUE(news) << news.error().text();
  EXPECT_EQ(news->epoch, 3U);
  std::sort(news->tags.begin(), news->tags.end());
  EXPECT_EQ(news->tags, (Tags{"a", "b"}));
  EXPECT_EQ(this->table->news(2)->tags, Tags{"a"});
  EXPECT_EQ(this->table->news(3)->tags, Tags{});
}

TYPED_TEST(AnswerTableTest, ForgetsWhatHasTheTagAndNothingElse) {
  ASSERT_TRUE(this->table->put({this->answer("a", "a", {"agent:ann"}), this->answer("b", "b", {"agent:bob"})}));
  ASSERT_TRUE(this->table->forget("agent:ann"));
  EXPECT_FALSE(this->value("a"));
  EXPECT_EQ(this->value("b"), "b");
  ASSERT_TRUE(this->table->put({this->answer("a", "a", {"agent:ann"}, 0)}));
  EXPECT_FALSE(this->value("a")) << "it was made before";
  ASSERT_TRUE(this->table->forget(kEveryTag));
  EXPECT_FALSE(this->value("b"));
}

TYPED_TEST(AnswerTableTest, KeepsToItsBytesAndTheNewestStay) {
  auto small = this->place->table(50_KiB);
  for (int i = 0; i < 100; ++i) {
    this->clock.advance(1s);
    ASSERT_TRUE(small->put({this->answer(std::to_string(i), std::string(2000, 'x'))}));
  }
  ASSERT_TRUE(small->keep_house(this->clock.wall()));
  int found = 0;
  for (int i = 0; i < 100; ++i) found += this->value(*small, std::to_string(i)) ? 1 : 0;
  EXPECT_LE(found, 25);
  EXPECT_GE(found, 20);
  EXPECT_TRUE(this->value(*small, "99"));
  EXPECT_FALSE(this->value(*small, "0"));
}

TYPED_TEST(AnswerTableTest, TakesALargeAnswer) {
  const std::string large(1 << 20, '\xfe');
  ASSERT_TRUE(this->table->put({this->answer("k", large)}));
  EXPECT_EQ(this->value("k"), large);
}

TEST(TagText, IsReadableAndComesBack) {
  EXPECT_EQ(tag_text("agent:log-triage"), "agent:log-triage");
  EXPECT_EQ(tag_text("50 %\n"), "50%20%25%0a");
  for (const std::string& tag :
       {std::string(), std::string("%"), std::string("%4"), std::string("\0\xff \"'\\{}", 9)}) {
    EXPECT_EQ(tag_from_text(tag_text(tag)), tag);
    EXPECT_EQ(tag_text(tag).find_first_of(std::string("\0\n \xff", 4)), std::string::npos);
  }
}

TEST(KeyValueAnswers, WhereAnEpochCantBeReadNothingFromBeforeIsBelieved) {
  ManualClock clock;
  clock.advance(1s);
  AnswersOnLmdb place(clock);
  const KeptAnswer answer{"k", "v", {}, clock.wall(), clock.wall() + 1h, 0};
  ASSERT_TRUE(place.table()->put({answer}));
  ASSERT_TRUE(place.table()->invalidate("other"));
  EXPECT_TRUE(*place.table()->get("k", clock.wall()));
  ASSERT_TRUE(place.values.put("cache-tags", "other", "1x"));
  EXPECT_FALSE(*place.table()->get("k", clock.wall()));
  KeptAnswer fresh = answer;
  fresh.seen = place.table()->news(0)->epoch;
  ASSERT_TRUE(place.table()->put({fresh}));
  EXPECT_TRUE(*place.table()->get("k", clock.wall()));
}

TEST(KeyValueAnswers, ABrokenAnswerIsNone) {
  ManualClock clock;
  AnswersOnLmdb place(clock);
  ASSERT_TRUE(place.table()->put({{"k", "value", {"t"}, clock.wall(), clock.wall() + 1h, 0}}));
  const std::string whole = **place.values.get("cache", "k");
  for (size_t size = 0; size < whole.size(); ++size) {
    ASSERT_TRUE(place.values.put("cache", "k", whole.substr(0, size)));
    EXPECT_FALSE(place.table()->get("k", clock.wall())) << size;
  }
  ASSERT_TRUE(place.table()->forget("another"));
  EXPECT_FALSE(*place.values.get("cache", "k")) << "what can't be read may be one of them";
}

TEST(SqliteAnswers, WhatIsForgottenIsInNoFile) {
  ManualClock clock;
  AnswersOnSqlite place(clock);
  auto table = place.table();
  ASSERT_TRUE(table->put({{"k", "Rumpelstilzchen", {"agent:ann"}, clock.wall(), clock.wall() + 1h, 0}}));
  const auto files_with_it = [&] {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(place.folder.path())) {
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      count += bytes.find("Rumpelstilzchen") != bytes.npos ? 1 : 0;
    }
    return count;
  };
  EXPECT_GE(files_with_it(), 1);
  ASSERT_TRUE(table->forget("agent:ann"));
  EXPECT_EQ(files_with_it(), 0);
}

TEST(SqliteAnswers, AFileThatAnotherOneLocksIsReadAndWrittenLater) {
  ManualClock clock;
  AnswersOnSqlite place(clock);
  auto table = place.table();
  const KeptAnswer answer{"k", "v", {}, clock.wall(), clock.wall() + 1h, 0};
  ASSERT_TRUE(table->put({answer}));
  auto other = SqliteConnection::open(place.folder / "answers.db", 100ms);
  ASSERT_TRUE(other && other->run("BEGIN EXCLUSIVE"));
  EXPECT_TRUE(*table->get("k", clock.wall()));
  EXPECT_EQ(table->put({answer}).error().code, ErrorCode::unavailable);
  ASSERT_TRUE(other->run("ROLLBACK"));
  EXPECT_TRUE(table->put({answer}));
}

TEST(PostgresAnswers, TwoThatBeginAtOnceBothFindTheirTables) {
  if (testing_postgres() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  ManualClock clock;
  AnswersOnPostgres place(clock);
  std::vector<std::thread> threads;
  std::atomic<int> through = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto table = place.table();
      for (int tries = 0; tries < 100; ++tries) {
        if (table->invalidate("t")) {
          ++through;
          return;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(through, 4);
  EXPECT_EQ(place.table()->news(0)->epoch, 4U) << "each took one of its own";
}

TEST(PostgresAnswers, AHungServerIsUnavailableAndAKilledOneIsFoundAgain) {
  if (testing_postgres() == nullptr) GTEST_SKIP() << "no PostgreSQL here";
  ManualClock clock;
  AnswersOnPostgres place(clock);
  PostgresAnswers table({.url = testing_postgres()->connection(), .limit = 200ms});
  ASSERT_TRUE(table.put({{"k", "v", {}, clock.wall(), clock.wall() + 1h, 0}}));
  testing_postgres()->hang();
  EXPECT_EQ(table.get("k", clock.wall()).error().code, ErrorCode::unavailable);
  testing_postgres()->kill();
  ASSERT_TRUE(testing_postgres()->run());
  Result<std::optional<KeptAnswer>> found = fail(ErrorCode::unavailable, "");
  for (int i = 0; i < 1000 && !found; ++i, std::this_thread::sleep_for(10ms)) found = table.get("k", clock.wall());
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->value, "v");
}

}  // namespace
}  // namespace skep::store
