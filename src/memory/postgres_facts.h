#pragma once
// Long-term memory on a PostgreSQL server with the extension pgvector, for several daemons or a fleet's backups.
// Tables skep_facts and skep_facts_state in the connection's schema, made at the first opening; those of an older skep
// are brought to this version, and lose nothing. postgres_search.h has how it is searched.
//
// What differs from LocalFacts: words are those of PostgreSQL's configuration `simple`, weighed by how rare they are
// alone, not by how often they stand in a fact and how long that is; vectors are kept as float; what is forgotten is
// deleted and vacuumed, and where that is everything of one agent, the table is written anew (VACUUM FULL: others wait,
// and it needs its size again on the disk), so that no page, index or statistic has a word of it. What a server keeps
// beyond its tables (its write-ahead log, backups) is the server's.
//
// A connection that broke is made again at the next call; a call that is under way fails with unavailable.

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "memory/fact.h"
#include "memory/scoring.h"

namespace skep::memory {

struct PostgresFactsOptions {
  std::string connection;  // libpq: postgresql://… or "host=… dbname=…"
  Scoring scoring;
  std::chrono::milliseconds limit = std::chrono::seconds(10);  // of a call; a server that hangs is given up then
  std::optional<size_t> scan_at_most = {};  // facts; unset: as many as is sooner done than to walk the graph
};

class PostgresFacts final : public LongTerm {
 public:
  static Result<std::unique_ptr<PostgresFacts>> open(PostgresFactsOptions options);
  ~PostgresFacts() override;

  Result<std::vector<Added>> add(std::vector<NewFact> facts) override;
  Result<std::vector<Hit>> search(const Query& query) override;
  Result<std::vector<Fact>> list(const Filter& filter, FactId after, size_t limit) override;
  Result<size_t> forget(const std::vector<FactId>& ids) override;
  Result<size_t> forget(const Filter& filter) override;
  Status use_embedder(const std::string& identity, size_t dimensions) override;
  Result<std::vector<Fact>> without_vector(size_t limit, FactId after) override;
  Status set_vectors(const std::vector<std::pair<FactId, std::vector<float>>>& vectors) override;
  Status sync() override { return {}; }  // a commit is durable when it is acknowledged
  Result<LongTermStatistics> statistics() override;

 private:
  struct Impl;
  explicit PostgresFacts(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::memory
