#include "store/store_impl.h"
// The start: what the journals hold beyond LMDB.

#include <algorithm>

#include "store/encoding.h"
#include "store/record.h"
#include "store/store_layout.h"

namespace skep::store {

std::string encode_changes(const Changes& changes) {
  Encoder body;
  for (const auto& [key, value] : changes) {
    body.fixed(static_cast<uint8_t>(value ? 1 : 0)).text(key);
    if (value) body.text(*value);
  }
  return body.take();
}

Status decode_changes(std::string_view body, Changes& into) {
  Decoder decoder(body);
  while (decoder.left() > 0) {
    bool has_value = decoder.fixed<uint8_t>() == 1;
    std::string key(decoder.text());
    std::optional<std::string> value;
    if (has_value) value = std::string(decoder.text());
    if (decoder.ok()) into.insert_or_assign(std::move(key), std::move(value));
  }
  if (!decoder.done()) return fail(ErrorCode::corrupt, "the journal holds what no store wrote");
  return {};
}

Status Store::Impl::recover() {
  {
    SKEP_TRY(auto snapshot, lmdb->snapshot());
    Dictionaries none;
    // The store's own records may be broken like any other: what they would have said is then taken at its worst.
    const auto own = [&](const std::string& key) -> Result<std::optional<Result<std::string>>> {
      SKEP_TRY(const auto record, snapshot.get(key));
      if (!record) return std::nullopt;
      return std::optional(decode_record(key, *record, none));
    };
    SKEP_TRY(const auto version, own(kVersionKey));
    if (version && (*version ? **version != kFormatVersion : version->error().code == ErrorCode::unsupported)) {
      return fail(ErrorCode::unsupported,
                  fmt::format("{}: the state has format {}", options.folder, *version ? **version : "?"),
                  "it was written by a newer skep");
    }
    // Without it both journals are replayed: they hold the last two generations, so the end is the same.
    SKEP_TRY(const auto number, own(kFlushedKey));
    if (number && *number) flushed_generation = from_sortable(**number);
    SKEP_CHECK(load_dictionaries(snapshot, dictionaries));
    SKEP_TRY(const auto ranges, own(kLostKey));
    if (ranges) lost = *ranges ? decode_ranges(**ranges) : std::vector<KeyRange>{KeyRange{}};
  }
  struct Found {
    uint64_t generation = 0;
    bool sealed = false;
    Changes changes;
  };
  std::vector<Found> found;
  for (size_t i = 0; i < 2; ++i) {
    SKEP_TRY(Journal journal, Journal::open(fmt::format("{}/journal.{}", options.folder, i)));
    Found one{};
    SKEP_TRY(Journal::Replay replay, journal.replay([&](std::string_view body) -> Status {
      if (body != kSeal) return decode_changes(body, one.changes);
      one.sealed = true;
      return {};
    }));
    one.generation = replay.generation;
    if (one.generation > flushed_generation) found.push_back(std::move(one));
    journals.at(i).emplace(std::move(journal));
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.generation < b.generation; });
  uint64_t newest = flushed_generation;
  Changes all;
  for (Found& one : found) {
    newest = one.generation;
    for (auto& [key, value] : one.changes) all.insert_or_assign(key, std::move(value));
    if (!one.sealed) break;
  }
  for (const Found& one : found) newest = std::max(newest, one.generation);  // none is used twice
  // Also when there is nothing to write: a generation that was begun, and never sealed because nothing came, must not
  // stand unflushed before the next one, or that would not be replayed.
  Status ready = newest > flushed_generation ? write_to_lmdb(all, newest) : Status();
  if (ready) {
    flushed_generation = newest;
    ready = journals[0]->start(newest + 1);
  }
  if (ready || ready.error().code != ErrorCode::unavailable) return ready;
  // No room: what the journals hold is read from memory, and the flusher goes on with this when there is some.
  if (newest > flushed_generation) overlay.flushing = std::make_shared<const Changes>(std::move(all));
  recovering = newest;
  refusing = ready.error();
  return {};
}

bool Store::Impl::finish_recovery(std::unique_lock<std::mutex>& lock) {
  if (overlay.flushing && !flush_changes(lock, *recovering)) return false;
  if (Status started = journals[0]->start(*recovering + 1); !started) return refused(started.error());
  recovering.reset();
  refusing.reset();
  flushed.notify_all();
  return true;
}

}  // namespace skep::store
