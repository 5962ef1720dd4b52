#pragma once
// For tests: PostgresFacts on a real server.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "memory/long_term_contract.h"
#include "memory/postgres_facts.h"
#include "store/postgres_connection.h"
#include "store/testing_postgres.h"

namespace skep::memory {

// One server for all tests; each test gets a database of its own. nullptr: none on this machine, which is said.
store::TestingPostgres* server();  // postgres_facts_test.cc

inline std::string new_database() {
  static int n = 0;
  const std::string name = "test" + std::to_string(++n);
  auto admin = store::PgConnection::open(server()->connection());
  EXPECT_TRUE(admin && admin->run(("CREATE DATABASE " + name).c_str()));
  return name;
}

struct PostgresStore {
  PostgresStore() { reopen(); }
  void reopen() {
    facts.reset();
    facts = PostgresFacts::open({server()->connection(database), {}}).value();
  }
  LongTerm& store() { return *facts; }

  std::string database = new_database();
  std::unique_ptr<PostgresFacts> facts;
};

}  // namespace skep::memory
