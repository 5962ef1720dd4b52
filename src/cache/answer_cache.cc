#include "cache/answer_cache.h"

#include <algorithm>

namespace skep::cache {
namespace {

constexpr size_t kMostTags = 100'000;  // that were invalidated one by one; beyond that, everything goes
constexpr const char* kAll = "*";      // a tag that every entry carries
constexpr size_t kOverhead = 160;      // bytes of an entry besides its texts

}  // namespace

AnswerCache::AnswerCache(const Clock& clock, std::vector<Level*> below, AnswerCacheOptions options)
    : clock_(clock),
      below_(std::move(below)),
      options_(options),
      policy_(options.memory, static_cast<size_t>(std::clamp<int64_t>(options.memory.count / 1024, 1024, 1 << 20))) {
  for (Level* level : below_) {
    level->on_invalidated([this, alive = alive_, level](const auto& tags, const auto& applied) {
      if (*alive) heard(level, tags, applied);
    });
  }
}

AnswerCache::~AnswerCache() {
  *alive_ = false;
  for (auto& [key, entry] : entries_) {
    if (!entry.below && valid(entry.kept, entry.known)) keep_below(key, entry.kept, below_.size());
  }
}

bool AnswerCache::valid(const Kept& kept, uint64_t known) const {
  const auto stands = [&](const std::string& tag) {
    const auto found = invalidated_.find(tag);
    return found == invalidated_.end() || found->second <= known;
  };
  return clock_.wall() < kept.expires && stands(kAll) && std::all_of(kept.tags.begin(), kept.tags.end(), stands);
}

std::optional<AnswerCache::MemoryHit> AnswerCache::find_in_memory(const CacheKey& key) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    policy_.miss(bytes_of(key));
    return std::nullopt;
  }
  const Kept& kept = found->second.kept;
  if (!valid(kept, found->second.known)) {
    ++(clock_.wall() < kept.expires ? counters_.invalidated : counters_.expired);
    drop(key);
    return std::nullopt;
  }
  policy_.touch(bytes_of(key));
  ++counters_.memory_hits;
  return MemoryHit{&kept.value, clock_.wall() - kept.stored};
}

void AnswerCache::find_below(const CacheKey& key, std::function<void(std::optional<Hit>)> done) {
  ask(0, key, invalidations_, std::move(done));
}

// `known`: invalidations when the question came. A level's answer may have been on its way through one.
void AnswerCache::ask(size_t level, const CacheKey& key, uint64_t known, std::function<void(std::optional<Hit>)> done) {
  if (level == below_.size()) return done(std::nullopt);
  below_[level]->find(
      key, [this, alive = alive_, level, key, known, done = std::move(done)](std::optional<Kept> kept) mutable {
        if (!*alive) return;
        if (!kept) return ask(level + 1, key, known, std::move(done));
        if (!valid(*kept, known)) {
          ++counters_.invalidated;
          return ask(level + 1, key, known, std::move(done));
        }
        Hit hit{kept->value, below_[level]->name(), clock_.wall() - kept->stored};
        keep_below(key, *kept, level);
        if (!entries_.contains(key)) keep_in_memory(key, {std::move(*kept), known, true});  // else: a newer one came
        done(std::move(hit));
      });
}

void AnswerCache::put(const CacheKey& key, std::string value, const std::vector<std::string>& tags,
                      std::optional<Duration> ttl) {
  if (static_cast<int64_t>(value.size()) > options_.largest.count) return;
  Entry entry;
  entry.kept = {std::move(value), tags, clock_.wall(), clock_.wall() + ttl.value_or(options_.ttl)};
  entry.known = invalidations_;
  entry.below = options_.write_through;
  ++counters_.stored;
  drop(key);
  if (options_.write_through) keep_below(key, entry.kept, below_.size());
  keep_in_memory(key, std::move(entry));
}

void AnswerCache::drop(const CacheKey& key) {
  policy_.erase(bytes_of(key));
  entries_.erase(key);
}

void AnswerCache::keep_in_memory(const CacheKey& key, Entry entry) {
  size_t bytes = kOverhead + entry.kept.value.size();
  for (const std::string& tag : entry.kept.tags) bytes += tag.size() + 32;
  policy_.insert(bytes_of(key), Bytes(static_cast<int64_t>(bytes)));
  entries_[key] = std::move(entry);
  while (policy_.size() > options_.memory) {
    auto victim = policy_.victim();
    if (!victim) return;
    CacheKey gone;
    std::copy(victim->begin(), victim->end(), gone.begin());
    const Entry& leaving = entries_.at(gone);
    if (!leaving.below && valid(leaving.kept, leaving.known)) keep_below(gone, leaving.kept, below_.size());
    drop(gone);
    ++counters_.evicted;
  }
}

void AnswerCache::keep_below(const CacheKey& key, const Kept& kept, size_t levels) {
  for (size_t i = 0; i < levels; ++i) below_[i]->keep(key, kept);
}

void AnswerCache::note(const std::string& tag) {
  ++invalidations_;
  if (invalidated_.size() < kMostTags || invalidated_.contains(tag)) {
    invalidated_[tag] = invalidations_;
    return;
  }
  invalidated_.clear();
  invalidated_[kAll] = invalidations_;
}

void AnswerCache::tell_levels(const std::string& tag, bool forget, const Level* except,
                              std::function<void(Status)> done) {
  struct Waiting {
    size_t left = 1;
    Status worst;
    std::function<void(Status)> done;
  };
  auto waiting = std::make_shared<Waiting>();
  waiting->done = std::move(done);
  const auto one_less = [waiting](const Status& status) {
    if (!status && waiting->worst) waiting->worst = status;
    if (--waiting->left == 0) waiting->done(waiting->worst);
  };
  for (Level* level : below_) {
    if (level == except) continue;
    ++waiting->left;
    level->invalidate(tag, forget, one_less);
  }
  one_less({});
}

void AnswerCache::invalidate(const std::string& tag, std::function<void(Status)> done) {
  const std::string which = tag.empty() ? kAll : tag;
  note(which);
  tell_levels(which, false, nullptr, std::move(done));
}

void AnswerCache::forget(const std::string& tag, std::function<void(Status)> done) {
  note(tag);
  std::vector<CacheKey> keys;
  for (const auto& [key, entry] : entries_) {
    if (std::find(entry.kept.tags.begin(), entry.kept.tags.end(), tag) != entry.kept.tags.end()) keys.push_back(key);
  }
  for (const CacheKey& key : keys) drop(key);
  tell_levels(tag, true, nullptr, std::move(done));
}

void AnswerCache::heard(const Level* level, const std::vector<std::string>& tags,
                        const std::function<void()>& applied) {
  // Where a level could not note one, this is heard again after a restart.
  auto left = std::make_shared<size_t>(tags.size());
  for (const std::string& tag : tags) {
    note(tag);
    if (heard_) heard_(tag);
    tell_levels(tag, false, level, [left, applied](const Status& noted) {
      if (noted && --*left == 0) applied();
    });
  }
}

}  // namespace skep::cache
