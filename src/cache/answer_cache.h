#pragma once
// Answers by their exact key: in this process's memory, bounded by bytes (W-TinyLFU decides who stays), and on levels
// below it that are asked one after another (level.h). What an answer is, the cache does not know: it keeps bytes.
//
// Tags. Every entry carries tags ("agent:log-triage", "model:fast"). Invalidations are counted; an entry remembers the
// count when it was stored and is valid as long as none of its tags was invalidated after. So invalidating a tag costs
// one number, however many entries carry it. The levels do the same for themselves, through restarts.
//
// Lives on the event loop; nothing waits.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "cache/cache_key.h"
#include "cache/level.h"
#include "cache/w_tiny_lfu.h"

namespace skep::cache {

struct AnswerCacheOptions {
  Bytes memory = 32_MiB;
  Duration ttl = std::chrono::hours(1);
  bool write_through = true;  // false: the levels below are written when an entry leaves memory
  Bytes largest = 1_MiB;      // larger answers are not kept
};

struct Hit {
  std::string value;
  std::string level;  // "memory", or the level's name
  Duration age{};
};

class AnswerCache {
 public:
  // The levels, nearest first, outlive the cache. It hears of what others invalidate there.
  AnswerCache(const Clock& clock, std::vector<Level*> below, AnswerCacheOptions options);
  ~AnswerCache();  // hands the levels what is only in memory
  AnswerCache(const AnswerCache&) = delete;
  AnswerCache& operator=(const AnswerCache&) = delete;

  // The value stays where it is, valid until the next call.
  struct MemoryHit {
    const std::string* value;
    Duration age;
  };
  std::optional<MemoryHit> find_in_memory(const CacheKey& key);
  // What memory does not have. `done` once; from inside where there is no level.
  [[nodiscard]] bool has_levels() const { return !below_.empty(); }
  void find_below(const CacheKey& key, std::function<void(std::optional<Hit>)> done);

  void put(const CacheKey& key, std::string value, const std::vector<std::string>& tags,
           std::optional<Duration> ttl = {});

  // What was kept with this tag (empty: everything) is not found any more. `done` when all levels have noted it,
  // perhaps from inside; an error: a level has not, will be asked again, and finds nothing until then.
  void invalidate(const std::string& tag, std::function<void(Status)> done);
  // The same, and every trace of these answers leaves memory and the levels' files.
  void forget(const std::string& tag, std::function<void(Status)> done);
  // Hears the tags that others invalidated, after they were here.
  void on_invalidated(std::function<void(const std::string& tag)> heard) { heard_ = std::move(heard); }

  struct Counters {
    int64_t memory_hits = 0, stored = 0, evicted = 0, expired = 0, invalidated = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const std::vector<Level*>& levels() const { return below_; }
  [[nodiscard]] Bytes memory() const { return policy_.size(); }
  [[nodiscard]] size_t entries() const { return entries_.size(); }

 private:
  struct Entry {
    Kept kept;
    uint64_t known = 0;  // invalidations, when it was stored
    bool below = false;  // the levels have it
  };
  [[nodiscard]] bool valid(const Kept& kept, uint64_t known) const;
  void ask(size_t level, const CacheKey& key, uint64_t known, std::function<void(std::optional<Hit>)> done);
  void keep_in_memory(const CacheKey& key, Entry entry);
  void keep_below(const CacheKey& key, const Kept& kept, size_t levels);
  void drop(const CacheKey& key);
  void note(const std::string& tag);
  // `except` has it already. nullptr: none.
  void tell_levels(const std::string& tag, bool forget, const Level* except, std::function<void(Status)> done);
  void heard(const Level* level, const std::vector<std::string>& tags, const std::function<void()>& applied);

  const Clock& clock_;
  std::vector<Level*> below_;
  AnswerCacheOptions options_;
  WTinyLfu policy_;
  std::unordered_map<CacheKey, Entry, CacheKeyHash> entries_;
  uint64_t invalidations_ = 0;
  std::unordered_map<std::string, uint64_t> invalidated_;  // tag → the number of its newest invalidation
  Counters counters_;
  std::function<void(const std::string&)> heard_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::cache
