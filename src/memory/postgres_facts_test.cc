// PostgresFacts passes the contract on a real server with pgvector, and comes back after the server was killed.

#include "memory/postgres_facts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "memory/long_term_contract.h"
#include "store/postgres_connection.h"
#include "store/testing_postgres.h"
#include "store/testing_postgres_sweep.h"

namespace skep::memory {

using store::parse_pg_array;
using store::pg_array;
using store::PgConnection;
using store::TestingPostgres;

namespace {

// One server for all tests; each test gets a database of its own.
TestingPostgres* server() {
  static const auto started = TestingPostgres::start(SKEP_DEPS);
  if (!started) {
    static const bool said = (fmt::print(stderr, "no pgvector here: {}\n", started.error().text()), true);
    static_cast<void>(said);
    return nullptr;
  }
  return started->get();
}

struct PostgresStore {
  PostgresStore() {
    static int n = 0;
    database = "test" + std::to_string(++n);
    auto admin = PgConnection::open(server()->connection());
    EXPECT_TRUE(admin && admin->run(("CREATE DATABASE " + database).c_str()));
    reopen();
  }
  void reopen() {
    facts.reset();
    facts = PostgresFacts::open({server()->connection(database), {}}).value();
  }
  LongTerm& store() { return *facts; }

  std::string database;
  std::unique_ptr<PostgresFacts> facts;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Postgres, LongTermContract, PostgresStore);

TEST(PostgresFacts, GoesOnAfterTheServerWasKilledAndLosesNothing) {
  PostgresStore own;
  NewFact fact;
  fact.agent = "a";
  fact.text = "the gasket leaks";
  ASSERT_TRUE(own.store().add({fact}));
  server()->kill();
  fact.text = "said while the server was away";
  const auto away = own.store().add({fact});
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code, ErrorCode::unavailable);
  ASSERT_TRUE(server()->run());
  ASSERT_TRUE(own.store().add({fact})) << "on a new connection";
  EXPECT_EQ(own.store().list({}, 0, 10)->size(), 2U);
}

TEST(PostgresFacts, ANulInATextIsRefused) {
  PostgresStore own;
  NewFact fact;
  fact.text = std::string("a\0b", 3);
  EXPECT_EQ(own.store().add({fact}).error().code, ErrorCode::invalid_argument);
}

TEST(PostgresFacts, NothingOfAForgottenAgentIsInAnyTableOrFileOfTheServer) {
  PostgresStore own;
  ASSERT_TRUE(own.store().use_embedder("e", 8));
  std::vector<NewFact> facts;
  for (int i = 0; i < 300; ++i) {
    NewFact fact;
    fact.agent = i % 3 == 0 ? "bob" : "ann";
    const std::string word = i % 3 == 0 ? "schneewittchen" : "rumpelstilzchen";
    fact.text = word + " spins straw, " + std::to_string(i);
    fact.tags = {word};
    fact.source = word;
    fact.vector.assign(8, 0.1F);
    fact.vector[static_cast<size_t>(i % 8)] = 1;
    facts.push_back(std::move(fact));
  }
  ASSERT_TRUE(own.store().add(std::move(facts)));
  PgConnection db(server()->connection(own.database));
  ASSERT_TRUE(db.run("ANALYZE"));
  const auto before = store::places_with("rumpelstilzchen", *server(), own.database);
  EXPECT_NE(std::find(before.begin(), before.end(), "pg_statistic"), before.end())
      << "the planner samples what is said";
  EXPECT_GE(before.size(), 3U);
  Filter ann;
  ann.agent = "ann";
  ann.with_shared = false;
  ASSERT_TRUE(own.store().forget(ann));
  EXPECT_EQ(store::places_with("rumpelstilzchen", *server(), own.database), std::vector<std::string>());
  EXPECT_FALSE(store::places_with("schneewittchen", *server(), own.database).empty())
      << "another's facts are where they were";
}

TEST(PostgresConnection, ArraysComeBackAsTheyWere) {
  const std::vector<std::string> texts = {"plain", "", "a,b", "qu\"ote", "back\\slash", "{brace}", "NULL", "ünïcode"};
  EXPECT_EQ(parse_pg_array(pg_array(texts)).value(), texts);
  EXPECT_EQ(parse_pg_array("{}").value(), std::vector<std::string>());
  EXPECT_EQ(parse_pg_array("{a,\"b c\"}").value(), (std::vector<std::string>{"a", "b c"}));
  for (const char* bad : {"", "{", "a", "{\"a}", "{\"a\\}"}) EXPECT_FALSE(parse_pg_array(bad)) << bad;
}

}  // namespace
}  // namespace skep::memory

// Without a server there is nothing to test, and that is said.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (skep::memory::server() == nullptr) return 0;
  return RUN_ALL_TESTS();
}
