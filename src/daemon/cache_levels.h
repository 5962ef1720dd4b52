#pragma once
// Which levels the response cache has below memory, and what they stand on:
//
//   second   the state's store, or a Redis server              cache.second, cache.disk
//   third    the event log's database, SQLite or PostgreSQL    cache.third
//
// Each has a thread of its own (cache/threaded_level.h). A level whose file can't be opened is left out, with a
// warning; a server that is away may come later.

#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "cache/threaded_level.h"
#include "daemon/config.h"
#include "store/key_value.h"

namespace skep::daemon {

class CacheLevels {
 public:
  // `values`: of the state's store, outlives this; null: there is none, and no level on this machine's disk.
  // invalid_argument: an address in the configuration is none.
  static Result<std::unique_ptr<CacheLevels>> open(EventLoop& loop, const Config& config, store::KeyValue* values);

  // Nearest first.
  [[nodiscard]] std::vector<cache::Level*> all() const;

 private:
  Status open_second(EventLoop& loop, const Config& config, store::KeyValue* values);
  Status open_third(EventLoop& loop, const Config& config, store::KeyValue* values);

  std::unique_ptr<store::KeyValue> server_;
  std::vector<std::unique_ptr<cache::ThreadedLevel>> levels_;
};

}  // namespace skep::daemon
