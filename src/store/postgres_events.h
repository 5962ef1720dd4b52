#pragma once
// Events in PostgreSQL: one table, partitioned by day (UTC), with a BRIN index on time; batches go in by COPY.
// Partitions are created ahead, and retention drops whole ones. Queries name a time range, so that the planner reads no
// other day's partition; they may go to a replica.
//
// Connections: one for the writer, and a small pool for queries; each is made again when it breaks.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "store/event.h"

namespace skep::store {

struct PostgresOptions {
  std::string url;          // as libpq reads it: postgresql://… or "host=… dbname=…"
  std::string replica_url;  // for queries; empty: `url`
  int readers = 4;          // connections for queries
  int days_ahead = 3;       // of partitions
  std::chrono::milliseconds limit = std::chrono::seconds(10);  // of a query or a batch
};

class PostgresEvents final : public EventStore {
 public:
  // Does not connect yet: a server that is away now may come later.
  static std::unique_ptr<EventStore> make(PostgresOptions options);
  explicit PostgresEvents(PostgresOptions options);
  ~PostgresEvents() override;

  Status append(const std::vector<Event>& events) override;
  Result<std::vector<Event>> query(const EventFilter& filter) override;
  Status keep_house(WallTime now, Duration retention) override;
  Status forget(const std::string& agent) override;
  [[nodiscard]] std::string_view name() const override { return "postgresql"; }

  // The plan of the query, as EXPLAIN prints it: which partitions it would read.
  Result<std::string> explain(const EventFilter& filter);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::store
