#pragma once
// For tests of forgetting: where a word still stands on a PostgreSQL server.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "store/postgres_connection.h"
#include "store/testing_postgres.h"

namespace skep::store {

// The server's whole data but for its write-ahead log: each table of the database, the planner's statistics among them,
// whatever the letters' case; and each file of the server's databases, byte by byte.
inline std::vector<std::string> places_with(const std::string& word, const TestingPostgres& server,
                                            const std::string& database) {
  PgConnection db(server.connection(database));
  std::vector<std::string> places;
  const auto tables = db.run({"SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'm')", {}});
  EXPECT_TRUE(tables);
  for (int i = 0; tables && i < tables->size(); ++i) {
    const std::string name = tables->text(i, 0);
    const auto rows =
        db.run({"SELECT count(*) FROM " + name + " AS t WHERE t::text ILIKE '%' || $1::text || '%'", {word}});
    EXPECT_TRUE(rows) << name;
    if (rows && rows->number(0, 0) > 0) places.push_back(name);
  }
  EXPECT_TRUE(db.run("CHECKPOINT"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(server.folder() + "/data/base")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.find(word) != bytes.npos) places.push_back(entry.path());
  }
  return places;
}

}  // namespace skep::store
