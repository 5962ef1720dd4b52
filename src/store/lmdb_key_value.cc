#include "store/lmdb_key_value.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "store/encoding.h"

namespace skep::store {
namespace {

constexpr std::string_view kSpace = "kv";
constexpr std::string_view kDue = "kv-due";
constexpr size_t kMostItems = 10'000;  // of a list

enum Kind : uint8_t { kValue = 0, kList = 1 };

struct Entry {
  uint64_t expiry = 0;  // ms since 1970; 0: none
  Kind kind = kValue;
  std::string value;
  std::vector<std::string> list;
};

std::string encode(const Entry& entry) {
  Encoder bytes;
  bytes.varint(entry.expiry).fixed(static_cast<uint8_t>(entry.kind));
  if (entry.kind == kValue) return bytes.text(entry.value).take();
  bytes.varint(entry.list.size());
  for (const std::string& item : entry.list) bytes.text(item);
  return bytes.take();
}

Result<Entry> decode(std::string_view bytes) {
  Decoder decoder(bytes);
  Entry entry;
  entry.expiry = decoder.varint();
  auto kind = decoder.fixed<uint8_t>();
  if (kind == kValue) {
    entry.value = decoder.text();
  } else {
    entry.kind = kList;
    uint64_t count = decoder.varint();
    for (uint64_t i = 0; i < count && decoder.ok(); ++i) entry.list.emplace_back(decoder.text());
  }
  if (!decoder.done() || kind > kList) return fail(ErrorCode::corrupt, "an entry of the key-value space is malformed");
  return entry;
}

Status check(std::string_view space, std::string_view key) {
  if (space.size() > KeyValue::kLongestName || key.size() > KeyValue::kLongestKey) {
    return fail(ErrorCode::invalid_argument, fmt::format("a namespace has at most {} bytes and a key {}",
                                                         KeyValue::kLongestName, KeyValue::kLongestKey));
  }
  return {};
}

std::string place(std::string_view space, std::string_view key) {
  std::string full(1, static_cast<char>(space.size()));
  full += space;
  full += key;
  return full;
}

uint64_t now_ms(const Clock& clock) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count());
}

uint64_t expiry_after(const Clock& clock, std::optional<Duration> ttl) {
  if (!ttl) return 0;
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*ttl).count();
  return now_ms(clock) + static_cast<uint64_t>(std::max<int64_t>(ms, 1));
}

bool alive(const Entry& entry, const Clock& clock) { return entry.expiry == 0 || entry.expiry > now_ms(clock); }

Status wrong_kind(const char* wanted) {
  return fail(ErrorCode::invalid_argument, fmt::format("the key holds no {}", wanted));
}

// One place inside an update: reads what lives there, writes it with its due entry.
class Slot {
 public:
  Slot(Store::Update& update, const Clock& clock, std::string full)
      : update_(update), clock_(clock), full_(std::move(full)) {}

  Result<std::optional<Entry>> read() {
    SKEP_TRY(auto bytes, update_.get(kSpace, full_));
    if (!bytes) return std::nullopt;
    SKEP_TRY(Entry entry, decode(*bytes));
    old_expiry_ = entry.expiry;
    if (!alive(entry, clock_)) return std::nullopt;
    return entry;
  }
  void write(const Entry& entry) {
    if (entry.expiry != old_expiry_) {
      if (old_expiry_ != 0) update_.erase(kDue, sortable(old_expiry_) + full_);
      if (entry.expiry != 0) update_.put(kDue, sortable(entry.expiry) + full_, "");
    }
    update_.put(kSpace, full_, encode(entry));
  }
  void erase() {
    if (old_expiry_ != 0) update_.erase(kDue, sortable(old_expiry_) + full_);
    update_.erase(kSpace, full_);
  }

 private:
  Store::Update& update_;
  const Clock& clock_;
  std::string full_;
  uint64_t old_expiry_ = 0;
};

Result<std::optional<Entry>> read_entry(const Store& store, const Clock& clock, std::string_view full) {
  SKEP_TRY(auto bytes, store.get(kSpace, full));
  if (!bytes) return std::nullopt;
  SKEP_TRY(Entry entry, decode(*bytes));
  if (!alive(entry, clock)) return std::nullopt;
  return entry;
}

}  // namespace

Result<std::optional<std::string>> LmdbKeyValue::get(std::string_view space, std::string_view key) {
  SKEP_CHECK(check(space, key));
  SKEP_TRY(auto entry, read_entry(store_, clock_, place(space, key)));
  if (!entry) return std::nullopt;
  if (entry->kind != kValue) return fail(wrong_kind("value").error());
  return std::optional(std::move(entry->value));
}

Status LmdbKeyValue::put(std::string_view space, std::string_view key, std::string_view value,
                         std::optional<Duration> ttl) {
  SKEP_CHECK(check(space, key));
  return store_.update([&](Store::Update& update) -> Status {
    Slot slot(update, clock_, place(space, key));
    SKEP_CHECK(slot.read());
    slot.write({expiry_after(clock_, ttl), kValue, std::string(value), {}});
    return {};
  });
}

Result<bool> LmdbKeyValue::erase(std::string_view space, std::string_view key) {
  SKEP_CHECK(check(space, key));
  bool was_there = false;
  Status updated = store_.update([&](Store::Update& update) -> Status {
    Slot slot(update, clock_, place(space, key));
    SKEP_TRY(auto entry, slot.read());
    was_there = entry.has_value();
    if (was_there) slot.erase();
    return {};
  });
  if (!updated) return fail(std::move(updated).error());
  return was_there;
}

Result<std::optional<Duration>> LmdbKeyValue::ttl(std::string_view space, std::string_view key) {
  SKEP_CHECK(check(space, key));
  SKEP_TRY(auto entry, read_entry(store_, clock_, place(space, key)));
  if (!entry) return fail(ErrorCode::not_found, fmt::format("there is no key '{}'", key));
  if (entry->expiry == 0) return std::nullopt;
  return std::optional<Duration>(std::chrono::milliseconds(entry->expiry - now_ms(clock_)));
}

Result<int64_t> LmdbKeyValue::add(std::string_view space, std::string_view key, int64_t by,
                                  std::optional<Duration> ttl) {
  SKEP_CHECK(check(space, key));
  int64_t sum = 0;
  Status updated = store_.update([&](Store::Update& update) -> Status {
    Slot slot(update, clock_, place(space, key));
    SKEP_TRY(auto entry, slot.read());
    int64_t before = 0;
    if (entry) {
      const std::string& text = entry->value;
      auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), before);
      if (entry->kind != kValue || error != std::errc() || end != text.data() + text.size() || text.empty()) {
        return wrong_kind("counter");
      }
    } else {
      entry.emplace();
      entry->expiry = expiry_after(clock_, ttl);
    }
    if (__builtin_add_overflow(before, by, &sum)) {
      return fail(ErrorCode::invalid_argument, "the counter would pass 64 bits");
    }
    entry->value = std::to_string(sum);
    slot.write(*entry);
    return {};
  });
  if (!updated) return fail(std::move(updated).error());
  return sum;
}

Result<size_t> LmdbKeyValue::push(std::string_view space, std::string_view key, std::string_view item, size_t most,
                                  std::optional<Duration> ttl) {
  SKEP_CHECK(check(space, key));
  if (most == 0 || most > kMostItems) {
    return fail(ErrorCode::invalid_argument, fmt::format("a list holds between 1 and {} items", kMostItems));
  }
  size_t length = 0;
  Status updated = store_.update([&](Store::Update& update) -> Status {
    Slot slot(update, clock_, place(space, key));
    SKEP_TRY(auto entry, slot.read());
    if (!entry) entry.emplace().kind = kList;
    if (entry->kind != kList) return wrong_kind("list");
    entry->expiry = expiry_after(clock_, ttl);
    auto& list = entry->list;
    list.emplace_back(item);
    if (list.size() > most) list.erase(list.begin(), list.end() - static_cast<ptrdiff_t>(most));
    length = list.size();
    slot.write(*entry);
    return {};
  });
  if (!updated) return fail(std::move(updated).error());
  return length;
}

Result<std::vector<std::string>> LmdbKeyValue::items(std::string_view space, std::string_view key, size_t first,
                                                     size_t count) {
  SKEP_CHECK(check(space, key));
  SKEP_TRY(auto entry, read_entry(store_, clock_, place(space, key)));
  if (!entry) return std::vector<std::string>();
  if (entry->kind != kList) return fail(wrong_kind("list").error());
  auto& list = entry->list;
  first = std::min(first, list.size());
  count = std::min(count, list.size() - first);
  auto begin = list.begin() + static_cast<ptrdiff_t>(first);
  return std::vector<std::string>(begin, begin + static_cast<ptrdiff_t>(count));
}

Result<std::vector<std::string>> LmdbKeyValue::keys(std::string_view space, std::string_view prefix,
                                                    std::string_view after, size_t limit) {
  SKEP_CHECK(check(space, prefix));
  SKEP_CHECK(check(space, after));
  const size_t before_key = 1 + space.size();
  std::vector<std::string> found;
  Store::Scan scan;
  scan.prefix = place(space, prefix);
  if (!after.empty()) scan.after = place(space, after);
  scan.limit = 256;
  while (found.size() < limit) {
    SKEP_TRY(auto entries, store_.scan(kSpace, scan));
    for (const Store::Entry& one : entries) {
      if (found.size() == limit) break;
      if (one.broken) continue;  // get() says so
      auto entry = decode(one.value);
      if (entry && alive(*entry, clock_)) found.push_back(one.key.substr(before_key));
    }
    if (entries.size() < scan.limit) break;
    scan.after = entries.back().key;
  }
  return found;
}

Result<size_t> LmdbKeyValue::clear(std::string_view space) {
  SKEP_CHECK(check(space, ""));
  size_t removed = 0;
  Store::Scan scan;
  scan.prefix = place(space, "");
  scan.limit = 256;
  for (;;) {
    SKEP_TRY(auto entries, store_.scan(kSpace, scan));
    Status updated = store_.update([&](Store::Update& update) -> Status {
      for (const Store::Entry& one : entries) {
        Slot slot(update, clock_, one.key);
        auto read = slot.read();  // broken: it goes as well
        if (read && *read) ++removed;
        slot.erase();
      }
      return {};
    });
    if (!updated) return fail(std::move(updated).error());
    if (entries.size() < scan.limit) return removed;
    scan.after = entries.back().key;
  }
}

Result<size_t> LmdbKeyValue::sweep(size_t limit) {
  Store::Scan scan;
  scan.limit = limit;
  scan.keys_only = true;
  SKEP_TRY(auto due, store_.scan(kDue, scan));
  uint64_t now = now_ms(clock_);
  size_t removed = 0;
  Status updated = store_.update([&](Store::Update& update) -> Status {
    for (const Store::Entry& one : due) {
      uint64_t expiry = from_sortable(one.key);
      if (expiry > now) break;
      update.erase(kDue, one.key);
      std::string full = one.key.substr(8);
      auto bytes = update.get(kSpace, full);
      if (!bytes || !*bytes) continue;
      auto entry = decode(**bytes);
      if (!entry || entry->expiry != expiry) continue;  // it was put anew since
      update.erase(kSpace, full);
      ++removed;
    }
    return {};
  });
  if (!updated) return fail(std::move(updated).error());
  return removed;
}

}  // namespace skep::store
