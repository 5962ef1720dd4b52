// PostgresFacts passes the contract on a real server with pgvector, and comes back after the server was killed.

#include "memory/postgres_facts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "memory/postgres_testing.h"
#include "store/testing_postgres_sweep.h"

namespace skep::memory {

using store::parse_pg_array;
using store::pg_array;
using store::PgConnection;

store::TestingPostgres* server() {
  static const auto started = store::TestingPostgres::start(SKEP_DEPS);
  if (!started) {
    static const bool said = (fmt::print(stderr, "no pgvector here: {}\n", started.error().text()), true);
    static_cast<void>(said);
    return nullptr;
  }
  return started->get();
}

namespace {

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

// The tables of version 1, as the first skep with them made them.
constexpr const char* kVersion1 = R"(
CREATE EXTENSION vector;
CREATE TABLE skep_facts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  agent text NOT NULL, text text NOT NULL, source text NOT NULL, tags text[] NOT NULL, time bigint NOT NULL,
  hash bigint NOT NULL, vector vector,
  words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED);
CREATE INDEX skep_facts_agent ON skep_facts (agent, id);
CREATE TABLE skep_facts_state (one boolean PRIMARY KEY DEFAULT true CHECK (one), embedder text NOT NULL,
  dimensions int NOT NULL);
INSERT INTO skep_facts_state VALUES (true, 'e', 2);
INSERT INTO skep_facts (agent, text, source, tags, time, hash, vector)
  VALUES ('ann', 'the gasket leaks', 's', '{red}', 5, 7, '[1,0]');)";

TEST(PostgresFacts, ADatabaseOfAnOlderSkepIsMigratedAndKeepsItsFacts) {
  const std::string database = new_database();
  PgConnection db(server()->connection(database));
  ASSERT_TRUE(db.run(kVersion1));
  for (int i = 0; i < 2; ++i) {
    auto facts = PostgresFacts::open({server()->connection(database), {}});
    ASSERT_TRUE(facts) << facts.error().text();
    const auto all = (*facts)->list({}, 0, 10).value();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0], (Fact{1, "ann", "the gasket leaks", "s", {"red"}, WallTime(Duration(5))}));
    EXPECT_EQ((*facts)->statistics()->embedder, "e");
    EXPECT_EQ((*facts)->statistics()->vectors, 1U);
    EXPECT_EQ(db.run({"SELECT version FROM skep_facts_state", {}})->number(0, 0), 2);
    EXPECT_EQ(db.run({"SELECT count(*) FROM pg_class WHERE relname IN ('skep_facts_tags', 'skep_facts_time')", {}})
                  ->number(0, 0),
              2);
  }
}

TEST(PostgresFacts, ADatabaseOfANewerSkepIsLeftAlone) {
  const PostgresStore own;
  PgConnection db(server()->connection(own.database));
  ASSERT_TRUE(db.run("UPDATE skep_facts_state SET version = 99"));
  const auto refused = PostgresFacts::open({server()->connection(own.database), {}});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("version 99"), std::string::npos) << refused.error().text();
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
