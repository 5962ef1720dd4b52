#pragma once
// Answers by their exact key, on two levels: L1 in this process, bounded by bytes (W-TinyLFU decides who stays), and
// L2, any KeyValue (the state store, or a server), bounded by bytes and by the entries' time to live. What an answer
// is, the cache does not know: it keeps bytes.
//
// Tags. Every entry carries tags ("agent:log-triage", "model:fast"). A tag has a version, counted in L2; an entry
// remembers the sum of its tags' versions when it was stored and is valid as long as that is still their sum. So
// invalidating a tag costs one counter, however many entries carry it, and holds across restarts and levels.
//
// Threads: one (the event loop's). L2 calls may wait for a disk or a network; find() makes at most one.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "cache/cache_key.h"
#include "cache/w_tiny_lfu.h"
#include "store/key_value.h"

namespace skep::cache {

struct AnswerCacheOptions {
  Bytes memory = 32_MiB;  // of L1
  Bytes disk = 256_MiB;   // of L2, as far as this run wrote it: earlier entries end with their time to live
  Duration ttl = std::chrono::hours(1);
  bool write_through = true;  // false: L2 is written when an entry leaves L1
  Bytes largest = 1_MiB;      // larger answers are not kept
};

enum class Level { memory, second };

struct Hit {
  std::string value;
  Level level = Level::memory;
  Duration age{};
};

class AnswerCache {
 public:
  // `second` may be null: one level. Both outlive the cache.
  AnswerCache(const Clock& clock, store::KeyValue* second, AnswerCacheOptions options);
  ~AnswerCache();  // writes to L2 what is only in L1
  AnswerCache(const AnswerCache&) = delete;
  AnswerCache& operator=(const AnswerCache&) = delete;

  std::optional<Hit> find(const CacheKey& key);
  // Only what is in memory: never waits. The value stays where it is, valid until the next call.
  struct MemoryHit {
    const std::string* value;
    Duration age;
  };
  std::optional<MemoryHit> find_in_memory(const CacheKey& key);

  // A failing L2 costs the second level, not the answer; it is counted.
  void put(const CacheKey& key, std::string value, const std::vector<std::string>& tags,
           std::optional<Duration> ttl = {});
  void erase(const CacheKey& key);

  // An error: they are gone for this run, and L2, which could not note it, may bring them back after the next start.
  Status invalidate(const std::string& tag);
  Status clear();

  // Every trace of the answers with this tag: out of memory, and invalid wherever they are; gives the keys of those
  // that were in memory. erase_tagged() takes them out of L2, from any thread, in a time that goes with its size.
  std::vector<CacheKey> forget(const std::string& tag);
  static Result<std::vector<CacheKey>> erase_tagged(store::KeyValue& second, const std::string& tag);

  struct Counters {
    int64_t memory_hits = 0, disk_hits = 0, misses = 0, stored = 0, evicted = 0, expired = 0, invalidated = 0,
            disk_failures = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] Bytes memory() const { return policy_.size(); }
  [[nodiscard]] size_t entries() const { return entries_.size(); }

 private:
  struct Entry {
    std::string value;
    std::vector<std::string> tags;
    WallTime stored{}, expires{};
    uint64_t tag_sum = 0;
    bool on_disk = false;
  };
  [[nodiscard]] bool valid(const Entry& entry) const;
  uint64_t tag_sum(const std::vector<std::string>& tags) const;
  void keep_in_memory(const CacheKey& key, Entry entry);
  void write_to_disk(const CacheKey& key, Entry& entry);
  void drop(const CacheKey& key);
  static std::optional<Entry> decode_entry(std::string_view bytes);
  std::optional<Entry> read_from_disk(const CacheKey& key);
  void load_tags();  // whatever can't be read there: nothing that is on disk is believed

  const Clock& clock_;
  store::KeyValue* second_;
  AnswerCacheOptions options_;
  WTinyLfu policy_;
  std::unordered_map<CacheKey, Entry, CacheKeyHash> entries_;
  std::unordered_map<std::string, uint64_t> versions_;  // of tags that were ever invalidated
  std::deque<std::pair<CacheKey, int64_t>> on_disk_;    // oldest first: what this run wrote, and its bytes
  int64_t disk_bytes_ = 0;
  Counters counters_;
};

}  // namespace skep::cache
