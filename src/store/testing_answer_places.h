#pragma once
// For tests: everything that can keep the cache's answers, each empty when it is made. table() gives a new AnswerTable
// on the same place, as another process would have it.

#include <cassert>
#include <memory>
#include <string>

#include "store/key_value_answers.h"
#include "store/lmdb_key_value.h"
#include "store/postgres_answers.h"
#include "store/postgres_connection.h"
#include "store/redis_key_value.h"
#include "store/sqlite_answers.h"
#include "store/testing_folder.h"
#include "store/testing_postgres.h"
#include "store/testing_redis.h"

namespace skep::store {

std::string deps_folder();  // the test program says where servers' programs may be, besides the system's

// One server for all tests of a program. nullptr: none is installed.
inline TestingPostgres* testing_postgres() {
  static const auto started = TestingPostgres::start(deps_folder(), TestingPostgres::Vectors::not_needed);
  return started ? started->get() : nullptr;
}
inline TestingRedis& testing_redis() {
  static TestingRedis server;
  return server;
}

struct AnswersOnLmdb {
  static bool available() { return true; }
  explicit AnswersOnLmdb(const Clock& c) : clock(c) {}
  std::unique_ptr<AnswerTable> table(Bytes most = 1_MiB) {
    return std::make_unique<KeyValueAnswers>(values, clock, most);
  }
  const Clock& clock;
  TestingFolder folder;
  std::unique_ptr<Store> store = [this] {
    StoreOptions options;
    options.folder = folder.path();
    return Store::open(options).value();
  }();
  LmdbKeyValue values{*store, clock};
};

struct AnswersOnRedis {
  static bool available() { return TestingRedis::installed(); }
  explicit AnswersOnRedis(const Clock& c) : clock(c) {}
  std::unique_ptr<AnswerTable> table(Bytes most = 1_MiB) {
    return std::make_unique<KeyValueAnswers>(values, clock, most);
  }
  const Clock& clock;
  static inline int number = 0;
  RedisKeyValue values{testing_redis().options(), "answers" + std::to_string(++number)};
};

struct AnswersOnSqlite {
  static bool available() { return true; }
  explicit AnswersOnSqlite(const Clock&) {}
  std::unique_ptr<AnswerTable> table(Bytes most = 1_MiB) {
    return std::move(*SqliteAnswers::open(folder / "answers.db", most));
  }
  TestingFolder folder;
};

struct AnswersOnPostgres {
  static bool available() { return testing_postgres() != nullptr; }
  explicit AnswersOnPostgres(const Clock&) {
    if (!available()) return;
    [[maybe_unused]] const Status dropped = PgConnection(testing_postgres()->connection())
                                                .run(
                                                    "DROP TABLE IF EXISTS answers; DROP TABLE IF EXISTS answer_tags; "
                                                    "DROP TABLE IF EXISTS answer_epoch");
    assert(dropped);
  }
  std::unique_ptr<AnswerTable> table(Bytes most = 1_MiB) {
    return std::make_unique<PostgresAnswers>(
        PostgresAnswersOptions{.url = testing_postgres()->connection(), .most = most});
  }
};

}  // namespace skep::store
