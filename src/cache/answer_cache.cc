#include "cache/answer_cache.h"

#include <algorithm>
#include <charconv>

#include "store/encoding.h"

namespace skep::cache {
namespace {

constexpr std::string_view kEntries = "cache";  // namespaces of L2
constexpr std::string_view kTags = "cache-tags";
constexpr size_t kMostTags = 100'000;  // that were invalidated one by one; beyond that, everything goes
constexpr const char* kAll = "*";      // a tag that every entry carries
constexpr size_t kOverhead = 160;      // bytes of an entry besides its texts

WallTime from_ns(int64_t ns) { return WallTime(Duration(ns)); }

}  // namespace

AnswerCache::AnswerCache(const Clock& clock, store::KeyValue* second, AnswerCacheOptions options)
    : clock_(clock),
      second_(second),
      options_(options),
      policy_(options.memory, static_cast<size_t>(std::clamp<int64_t>(options.memory.count / 1024, 1024, 1 << 20))) {
  load_tags();
}

AnswerCache::~AnswerCache() {
  for (auto& [key, entry] : entries_) {
    if (!entry.on_disk && valid(entry)) write_to_disk(key, entry);
  }
}

void AnswerCache::load_tags() {
  if (second_ == nullptr) return;
  // A version that no entry has, and that differs with every start.
  const auto distrust = [this] {
    ++counters_.disk_failures;
    versions_[kAll] = static_cast<uint64_t>(clock_.wall().time_since_epoch().count());
  };
  std::string after;
  for (;;) {
    auto names = second_->keys(kTags, "", after);
    if (!names) return distrust();
    if (names->empty()) return;
    for (const std::string& name : *names) {
      auto version = second_->get(kTags, name);
      if (!version) return distrust();
      if (!*version) continue;  // it has just expired
      const std::string& digits = **version;
      uint64_t number = 0;
      const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
      if (wrong != std::errc() || end != digits.data() + digits.size()) return distrust();
      versions_[name] = number;
    }
    after = names->back();
  }
}

uint64_t AnswerCache::tag_sum(const std::vector<std::string>& tags) const {
  uint64_t sum = 0;
  auto add = [&](const std::string& tag) {
    if (auto found = versions_.find(tag); found != versions_.end()) sum += found->second;
  };
  add(kAll);
  for (const std::string& tag : tags) add(tag);
  return sum;
}

// Versions only grow, so their sum is what it was only if each of them is.
bool AnswerCache::valid(const Entry& entry) const {
  return clock_.wall() < entry.expires && entry.tag_sum == tag_sum(entry.tags);
}

std::optional<AnswerCache::MemoryHit> AnswerCache::find_in_memory(const CacheKey& key) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    policy_.miss(bytes_of(key));
    return std::nullopt;
  }
  if (!valid(found->second)) {
    ++(clock_.wall() < found->second.expires ? counters_.invalidated : counters_.expired);
    drop(key);
    return std::nullopt;
  }
  policy_.touch(bytes_of(key));
  ++counters_.memory_hits;
  return MemoryHit{&found->second.value, clock_.wall() - found->second.stored};
}

std::optional<Hit> AnswerCache::find(const CacheKey& key) {
  if (auto hit = find_in_memory(key)) return Hit{*hit->value, Level::memory, hit->age};
  auto entry = read_from_disk(key);
  if (!entry) {
    ++counters_.misses;
    return std::nullopt;
  }
  ++counters_.disk_hits;
  Hit hit{entry->value, Level::second, clock_.wall() - entry->stored};
  keep_in_memory(key, std::move(*entry));
  return hit;
}

void AnswerCache::put(const CacheKey& key, std::string value, const std::vector<std::string>& tags,
                      std::optional<Duration> ttl) {
  if (static_cast<int64_t>(value.size()) > options_.largest.count) return;
  Entry entry;
  entry.value = std::move(value);
  entry.tags = tags;
  entry.stored = clock_.wall();
  entry.expires = entry.stored + ttl.value_or(options_.ttl);
  entry.tag_sum = tag_sum(tags);
  ++counters_.stored;
  drop(key);
  if (options_.write_through) write_to_disk(key, entry);
  keep_in_memory(key, std::move(entry));
}

void AnswerCache::erase(const CacheKey& key) {
  drop(key);
  if (second_ != nullptr && !second_->erase(kEntries, bytes_of(key))) ++counters_.disk_failures;
}

void AnswerCache::drop(const CacheKey& key) {
  policy_.erase(bytes_of(key));
  entries_.erase(key);
}

void AnswerCache::keep_in_memory(const CacheKey& key, Entry entry) {
  size_t bytes = kOverhead + entry.value.size();
  for (const std::string& tag : entry.tags) bytes += tag.size() + 32;
  policy_.insert(bytes_of(key), Bytes(static_cast<int64_t>(bytes)));
  entries_[key] = std::move(entry);
  while (policy_.size() > options_.memory) {
    auto victim = policy_.victim();
    if (!victim) return;
    CacheKey gone;
    std::copy(victim->begin(), victim->end(), gone.begin());
    Entry& leaving = entries_.at(gone);
    if (!leaving.on_disk && valid(leaving)) write_to_disk(gone, leaving);
    drop(gone);
    ++counters_.evicted;
  }
}

void AnswerCache::write_to_disk(const CacheKey& key, Entry& entry) {
  if (second_ == nullptr) return;
  store::Encoder bytes;
  bytes.integer(entry.stored.time_since_epoch().count()).integer(entry.expires.time_since_epoch().count());
  bytes.varint(entry.tag_sum).varint(entry.tags.size());
  for (const std::string& tag : entry.tags) bytes.text(tag);
  bytes.text(entry.value);
  std::string record = bytes.take();
  auto size = static_cast<int64_t>(record.size());
  Duration left = entry.expires - clock_.wall();
  if (!second_->put(kEntries, bytes_of(key), record, std::max(left, Duration(std::chrono::milliseconds(1))))) {
    ++counters_.disk_failures;
    return;
  }
  entry.on_disk = true;
  on_disk_.emplace_back(key, size);
  disk_bytes_ += size;
  while (disk_bytes_ > options_.disk.count && on_disk_.size() > 1) {
    auto [oldest, bytes_gone] = on_disk_.front();
    on_disk_.pop_front();
    disk_bytes_ -= bytes_gone;
    if (oldest != key && !second_->erase(kEntries, bytes_of(oldest))) ++counters_.disk_failures;
  }
}

std::optional<AnswerCache::Entry> AnswerCache::decode_entry(std::string_view bytes) {
  store::Decoder decoder(bytes);
  Entry entry;
  entry.stored = from_ns(decoder.integer());
  entry.expires = from_ns(decoder.integer());
  entry.tag_sum = decoder.varint();
  for (uint64_t n = decoder.varint(); n > 0 && decoder.ok(); --n) entry.tags.emplace_back(decoder.text());
  entry.value = decoder.text();
  entry.on_disk = true;
  return decoder.done() ? std::optional(std::move(entry)) : std::nullopt;
}

std::optional<AnswerCache::Entry> AnswerCache::read_from_disk(const CacheKey& key) {
  if (second_ == nullptr) return std::nullopt;
  auto bytes = second_->get(kEntries, bytes_of(key));
  if (!bytes) ++counters_.disk_failures;
  if (!bytes || !*bytes) return std::nullopt;
  auto entry = decode_entry(**bytes);
  if (!entry) {
    ++counters_.disk_failures;
    return std::nullopt;
  }
  if (valid(*entry)) return entry;
  ++counters_.invalidated;
  return std::nullopt;
}

std::vector<CacheKey> AnswerCache::forget(const std::string& tag) {
  static_cast<void>(invalidate(tag));  // what L2 could not note, erase_tagged() does away with
  std::vector<CacheKey> keys;
  for (const auto& [key, entry] : entries_) {
    if (std::find(entry.tags.begin(), entry.tags.end(), tag) != entry.tags.end()) keys.push_back(key);
  }
  for (const CacheKey& key : keys) drop(key);
  return keys;
}

Result<std::vector<CacheKey>> AnswerCache::erase_tagged(store::KeyValue& second, const std::string& tag) {
  std::vector<CacheKey> gone;
  std::string after;
  for (;;) {
    SKEP_TRY(const auto keys, second.keys(kEntries, "", after));
    if (keys.empty()) return gone;
    for (const std::string& name : keys) {
      const auto bytes = second.get(kEntries, name);
      if (bytes && !*bytes) continue;
      // What can't be read may be one of them.
      const auto entry = bytes ? decode_entry(**bytes) : std::nullopt;
      if (entry && std::find(entry->tags.begin(), entry->tags.end(), tag) == entry->tags.end()) continue;
      SKEP_CHECK(second.erase(kEntries, name));
      CacheKey key{};
      if (name.size() == key.size()) std::copy(name.begin(), name.end(), key.begin());
      gone.push_back(key);
    }
    after = keys.back();
  }
}

Status AnswerCache::invalidate(const std::string& tag) {
  if (versions_.size() >= kMostTags && !versions_.contains(tag)) return clear();
  uint64_t& version = versions_[tag];
  ++version;
  if (second_ == nullptr) return {};
  Status noted = second_->put(kTags, tag, std::to_string(version));
  if (!noted) ++counters_.disk_failures;
  return noted;
}

Status AnswerCache::clear() { return invalidate(kAll); }

}  // namespace skep::cache
