#pragma once
// Events in an SQLite file, in WAL mode: readers never wait for the writer. Power loss takes at most the last batch.
// The file is bounded in bytes: beyond them the oldest events go, whatever the retention says.

#include <memory>
#include <string>

#include "base/units.h"
#include "store/event.h"

namespace skep::store {

class SqliteEvents final : public EventStore {
 public:
  static Result<std::unique_ptr<EventStore>> open(const std::string& path, Bytes most = 1_GiB);
  ~SqliteEvents() override;

  Status append(const std::vector<Event>& events) override;
  Result<std::vector<Event>> query(const EventFilter& filter) override;
  Status keep_house(WallTime now, Duration retention) override;
  Status forget(const std::string& agent) override;
  [[nodiscard]] std::string_view name() const override { return "sqlite"; }

 private:
  struct Impl;
  explicit SqliteEvents(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::store
