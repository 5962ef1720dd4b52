#pragma once
// The seam to what lies below the cache's memory: a level that may be slow, away, or shared with others. It is asked
// asynchronously, and told without waiting. threaded_level.h is the real one.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "cache/cache_key.h"

namespace skep::cache {

struct Kept {  // an answer as a level has it
  std::string value;
  std::vector<std::string> tags;
  WallTime stored{}, expires{};
};

// Everything is called on the event loop, and calls back there.
class Level {
 public:
  virtual ~Level() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;  // "disk", as X-Skep-Cache says it

  // `done` once, never from inside. nullopt: no such answer, none in time, or the level is away.
  virtual void find(const CacheKey& key, std::function<void(std::optional<Kept>)> done) = 0;
  // Written behind; what is too much for the level's queue is not kept.
  virtual void keep(const CacheKey& key, Kept answer) = 0;

  // From now on no find() gives an answer with this tag ("*": any) that was kept before. `done` when the level has
  // noted it for good; an error: it has not yet, and finds nothing until it has. `forget`: the answers leave its files,
  // too.
  virtual void invalidate(const std::string& tag, bool forget, std::function<void(Status)> done) = 0;

  // Others invalidated these tags. Whoever hears it calls `applied` when it holds here, for good.
  using Heard = std::function<void(const std::vector<std::string>& tags, std::function<void()> applied)>;
  virtual void on_invalidated(Heard heard) = 0;

  struct Counters {
    int64_t hits = 0, misses = 0;
    int64_t late = 0;               // look-ups that took too long: as good as misses
    int64_t skipped = 0;            // look-ups that were not made: the level is away, or too many wait
    int64_t written = 0, shed = 0;  // answers that were kept; that found the queue full, or were refused
    int64_t failures = 0;           // calls
    Bytes waiting;                  // to be written
    std::optional<Error> trouble;   // the last failure, until something is written again
  };
  [[nodiscard]] virtual Counters counters() const = 0;
};

}  // namespace skep::cache
