#include "store/store.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "store/dictionaries.h"
#include "store/encoding.h"
#include "store/journal.h"
#include "store/lmdb_environment.h"
#include "store/overlay.h"
#include "store/record.h"
#include "store/rewrite.h"
#include "store/store_layout.h"
#include "store/trainer.h"

namespace skep::store {
namespace {

constexpr char kMark = '\0';  // between space and key

std::string full_key(std::string_view space, std::string_view key) {
  std::string full;
  full.reserve(space.size() + 1 + key.size());
  full += space;
  full += kMark;
  full += key;
  return full;
}
std::string_view space_of(std::string_view full) { return full.substr(0, full.find(kMark)); }

Status check_place([[maybe_unused]] std::string_view space, std::string_view key) {
  assert(!space.empty() && space.size() <= kLongestSpace && space.find(kMark) == space.npos);
  if (key.size() <= kLongestKey) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("a key of {} bytes is too long for the store", key.size()),
              fmt::format("at most {}", kLongestKey));
}

// A journal record's body: for each change a flag (1: a value follows), the key and perhaps the value.
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

// The last record of a generation that another one follows. Without it, what follows is not replayed: a crash of the
// machine must not keep later changes and lose earlier ones.
constexpr std::string_view kSeal = "\xff";

}  // namespace

struct Store::Impl {
  StoreOptions options;
  int lock_file = -1;
  std::unique_ptr<LmdbEnvironment> lmdb;
  Dictionaries dictionaries;
  Trainer trainer;                        // the flusher's, as is
  std::vector<Trainer::Trained> unsaved;  // dictionaries that no commit has written yet

  // One update after another.
  std::mutex updating;

  // Guards everything below it. Taken after `updating`.
  mutable std::mutex mutex;
  std::condition_variable work;     // for the flusher
  std::condition_variable flushed;  // for those who wait for it
  Overlay overlay;
  std::array<std::optional<Journal>, 2> journals;
  size_t current = 0;
  uint64_t flushed_generation = 0;
  uint64_t wanted_generation = 0;  // flush() asks for all up to this one
  uint64_t purges_wanted = 0, purges_done = 0;
  Status purged;            // how the last one ended
  TimePoint dirty_since{};  // of the oldest change in overlay.active
  std::optional<Error> refusing;
  std::vector<KeyRange> lost;  // keys that may be missing
  std::optional<Salvage> salvaged;
  std::optional<uint64_t> recovering;  // the disk was full at the start: this generation waits to be in LMDB
  int64_t updates = 0, flushes = 0, syncs = 0;
  bool stopping = false;

  // Group commit of Durability::always: whoever holds this syncs for all that have appended before.
  std::mutex syncing;
  uint64_t synced_generation = 0;
  int64_t synced_end = 0;
  uint64_t distrusted_generation = 0;  // a sync of its journal failed: only LMDB can say that the disk has it

  std::thread flusher;

  ~Impl() {
    if (flusher.joinable()) {
      {
        std::lock_guard lock(mutex);
        stopping = true;
      }
      work.notify_all();
      flusher.join();
    }
    lmdb.reset();
    if (lock_file >= 0) ::close(lock_file);
  }

  Status recover();
  // Where a change stands in the journals.
  struct Place {
    size_t index = 0;
    uint64_t generation = 0;
    int64_t end = 0;
  };
  Result<Place> append(Changes changes);
  Status sync_journal(const Place& place);
  Status sync_files(const Place& place, bool both);
  Status flush_up_to(uint64_t generation);
  void run_flusher();
  bool flush_once(std::unique_lock<std::mutex>& lock);
  bool flush_changes(std::unique_lock<std::mutex>& lock, uint64_t generation);
  bool finish_recovery(std::unique_lock<std::mutex>& lock);
  bool refused(const Error& why);
  void run_purge(std::unique_lock<std::mutex>& lock);
  Status write_anew();
  Status write_to_lmdb(const Changes& changes, uint64_t generation);
  Result<std::optional<std::string>> read(std::string_view full) const;
  int64_t pending() const { return journals[0]->size() + journals[1]->size(); }
};

// Replays what the journals hold beyond LMDB, oldest generation first, and begins a new one.
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

// Journals the changes, then makes them visible. Called with `updating` held.
Result<Store::Impl::Place> Store::Impl::append(Changes changes) {
  const std::string body = encode_changes(changes);
  std::unique_lock lock(mutex);
  if (refusing) return fail(*refusing);
  if (pending() > options.pending.count) {
    work.notify_all();
    bool room =
        flushed.wait_for(lock, options.patience, [&] { return refusing || pending() <= options.pending.count; });
    if (refusing) return fail(*refusing);
    if (!room) return fail(ErrorCode::overloaded, "the state store's disk doesn't keep up", "try again in a moment");
  }
  if (recovering) return fail(ErrorCode::unavailable, "the state store waits for room on its disk", "free some space");
  if (Status written = journals.at(current)->append(body); !written) {
    if (written.error().code == ErrorCode::unavailable) refused(written.error());
    work.notify_all();  // what is in the journal may go to LMDB, and makes room
    return fail(written.error());
  }
  if (overlay.active.empty()) {
    dirty_since = std::chrono::steady_clock::now();
    work.notify_all();
  }
  for (auto& [key, value] : changes) overlay.active.insert_or_assign(key, std::move(value));
  ++updates;
  return Place{current, journals.at(current)->generation(), journals.at(current)->size()};
}

// Waits until the disk has the journal up to this place; whoever comes first syncs for all that wait behind it. Called
// without `updating`, so that others append meanwhile.
Status Store::Impl::sync_journal(const Place& place) {
  {
    std::lock_guard lock(syncing);
    if (synced_generation > place.generation || (synced_generation == place.generation && synced_end >= place.end)) {
      return {};
    }
    Place upto = place;
    bool both = false;  // the generation before is needed to replay this one
    {
      std::lock_guard state(mutex);
      if (flushed_generation >= place.generation) return {};  // it is in LMDB meanwhile
      if (journals.at(place.index)->generation() == place.generation) upto.end = journals.at(place.index)->size();
      both = place.generation > 1 && flushed_generation < place.generation - 1;
      ++syncs;
    }
    const bool trusted = distrusted_generation + (both ? 1 : 0) < place.generation;
    if (trusted && sync_files(place, both)) {
      synced_generation = upto.generation;
      synced_end = upto.end;
      return {};
    }
    // After a failed fdatasync nobody knows what the disk has, and the next one may report success all the same. LMDB
    // writes the change anew.
    distrusted_generation = std::max(distrusted_generation, place.generation);
  }
  return flush_up_to(place.generation);
}

Status Store::Impl::sync_files(const Place& place, bool both) {
  if (both) SKEP_CHECK(journals.at(1 - place.index)->sync());
  return journals.at(place.index)->sync();
}

// Waits for LMDB to have this generation, or for the flusher to say why not.
Status Store::Impl::flush_up_to(uint64_t generation) {
  std::unique_lock lock(mutex);
  if (flushed_generation >= generation) return {};
  wanted_generation = std::max(wanted_generation, generation);
  work.notify_all();
  // A refusal only counts if it comes from a try that began after this call.
  refusing.reset();
  flushed.wait(lock, [&] { return flushed_generation >= generation || refusing; });
  if (flushed_generation >= generation) return {};
  return fail(*refusing);
}

Status Store::Impl::write_to_lmdb(const Changes& changes, uint64_t generation) {
  for (Trainer::Trained& one : trainer.learn(changes, dictionaries)) {
    dictionaries.add(one.id, one.kind, one.bytes);
    unsaved.push_back(std::move(one));
  }
  Dictionaries none;
  Status written = lmdb->write([&](LmdbEnvironment::Writer& writer) -> Status {
    auto put_plain = [&](const std::string& key, std::string_view value) {
      return writer.put(key, encode_record("!", key, value, none));
    };
    for (const auto& one : unsaved) {
      SKEP_CHECK(put_dictionary(writer, one));
    }
    for (const auto& [key, value] : changes) {
      if (value) {
        SKEP_CHECK(writer.put(key, encode_record(space_of(key), key, *value, dictionaries)));
      } else {
        SKEP_CHECK(writer.erase(key));
      }
    }
    SKEP_CHECK(put_plain(kVersionKey, kFormatVersion));
    return put_plain(kFlushedKey, sortable(generation));
  });
  if (!written) return fail(std::move(written).error());
  unsaved.clear();
  return {};
}

void Store::Impl::run_flusher() {
  std::unique_lock lock(mutex);
  for (;;) {
    auto has_work = [&] {
      return stopping || !overlay.active.empty() || overlay.flushing || refusing || purges_wanted > purges_done;
    };
    work.wait(lock, has_work);
    if (purges_wanted > purges_done && !stopping && !overlay.flushing && !recovering) {
      run_purge(lock);
      continue;
    }
    if (stopping && !overlay.flushing && overlay.active.empty()) return;
    // Collect for a while, unless somebody waits or there is much already.
    auto due = dirty_since + options.flush_after;
    work.wait_until(lock, due, [&] {
      return stopping || refusing || purges_wanted > purges_done || wanted_generation > flushed_generation ||
             pending() > options.pending.count / 4;
    });
    bool done = flush_once(lock);
    if (!done && stopping) return;  // the journal has it: the next start takes it from there
    if (!done) work.wait_for(lock, std::chrono::milliseconds(200), [&] { return stopping; });
  }
}

// Notes why updates are refused, and tells who waits. Always false.
bool Store::Impl::refused(const Error& why) {
  refusing = why;
  flushed.notify_all();
  return false;
}

// Moves the active generation into LMDB. false: the disk said no, and everything stands where it stood.
bool Store::Impl::flush_once(std::unique_lock<std::mutex>& lock) {
  if (recovering) return finish_recovery(lock);
  if (!overlay.flushing && overlay.active.empty()) {  // nothing to move: is there room for the next update?
    if (Status room = journals.at(current)->make_room(); !room) return refused(room.error());
    refusing.reset();
    return true;
  }
  if (!overlay.flushing) {
    size_t next = 1 - current;
    Status started = journals.at(current)->append(kSeal);
    if (started) started = journals.at(next)->start(journals.at(current)->generation() + 1);
    if (!started) return refused(started.error());
    overlay.flushing = std::make_shared<const Changes>(std::move(overlay.active));
    overlay.active.clear();
    current = next;
  }
  if (!flush_changes(lock, journals.at(1 - current)->generation())) return false;
  refusing.reset();
  flushed.notify_all();
  return true;
}

bool Store::Impl::flush_changes(std::unique_lock<std::mutex>& lock, uint64_t generation) {
  auto changes = overlay.flushing;
  lock.unlock();
  Status written = write_to_lmdb(*changes, generation);
  lock.lock();
  if (!written) return refused(written.error());
  overlay.flushing.reset();
  flushed_generation = generation;
  dirty_since = std::chrono::steady_clock::now();
  ++flushes;
  return true;
}

// Everything that was flushed before is in LMDB, and what stands in the journals besides is newer than that.
void Store::Impl::run_purge(std::unique_lock<std::mutex>& lock) {
  const uint64_t number = purges_wanted;
  Status done = journals.at(1 - current)->wipe(true);
  if (done) done = journals.at(current)->wipe(false);
  lock.unlock();
  if (done) done = write_anew();
  lock.lock();
  purged = std::move(done);
  purges_done = number;
  flushed.notify_all();
}

// On the flusher's thread, so that nobody else writes to LMDB.
Status Store::Impl::write_anew() {
  const std::string fresh = options.folder + "/state.mdb.new";
  std::error_code ignored;
  std::filesystem::remove(fresh, ignored);
  Dictionaries learned;
  Trainer anew;
  // LMDB waits for this, so the journal is synced instead: a power loss takes no more than otherwise.
  Status done = rewrite(*lmdb, dictionaries, fresh, learned, anew, [&] { return journals.at(current)->sync(); });
  std::filesystem::remove(fresh + "-lock", ignored);
  if (done) done = lmdb->replace_by(fresh, [&] { dictionaries.swap(learned); });
  if (!done) {
    std::filesystem::remove(fresh, ignored);
    return done;
  }
  trainer = std::move(anew);
  unsaved.clear();
  return sync_folder(options.folder);
}

// What recover() found no room for.
bool Store::Impl::finish_recovery(std::unique_lock<std::mutex>& lock) {
  if (overlay.flushing && !flush_changes(lock, *recovering)) return false;
  if (Status started = journals[0]->start(*recovering + 1); !started) return refused(started.error());
  recovering.reset();
  refusing.reset();
  flushed.notify_all();
  return true;
}

Result<std::optional<std::string>> Store::Impl::read(std::string_view full) const {
  {
    std::lock_guard lock(mutex);
    if (const auto* change = overlay.find(full)) return *change;
  }
  // What was flushed since then is in LMDB by now.
  SKEP_TRY(auto snapshot, lmdb->snapshot());
  auto record = snapshot.get(full);
  if (!record) return fail(named(record.error(), full));
  if (!*record) return std::nullopt;
  auto value = decode_record(full, **record, dictionaries);
  if (!value) return fail(named(value.error(), full));
  return std::optional(std::move(*value));
}

Result<std::unique_ptr<Store>> Store::open(StoreOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  const std::string& folder = impl->options.folder;
  SKEP_TRY(impl->lock_file, lock_folder(folder));
  std::error_code ignored;
  std::filesystem::remove(folder + "/state.mdb.new", ignored);  // of a rewriting that was killed
  SKEP_TRY(impl->salvaged, mend_tree(folder));
  SKEP_TRY(impl->lmdb, LmdbEnvironment::open(folder + "/state.mdb", impl->options.map, impl->options.limit));
  SKEP_CHECK(impl->recover());
  impl->flusher = std::thread([raw = impl.get()] { raw->run_flusher(); });
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Status Store::update(const std::function<Status(Update&)>& change) {
  class Collected final : public Update {
   public:
    explicit Collected(const Impl& impl) : impl_(impl) {}
    Result<std::optional<std::string>> get(std::string_view space, std::string_view key) override {
      std::string full = full_key(space, key);
      if (auto mine = changes.find(full); mine != changes.end()) return mine->second;
      return impl_.read(full);
    }
    void put(std::string_view space, std::string_view key, std::string_view value) override {
      take(space, key, std::string(value));
      if (static_cast<int64_t>(value.size()) > kLargestValue.count && allowed) {
        allowed =
            fail(ErrorCode::too_large, fmt::format("a value of {} bytes is too large for the store", value.size()),
                 fmt::format("at most {}", to_string(kLargestValue)));
      }
    }
    void erase(std::string_view space, std::string_view key) override { take(space, key, std::nullopt); }
    void complete(std::string_view space, std::string_view prefix) override {
      assert(!prefix.empty() && prefix.back() == kMark);
      const std::string full = full_key(space, prefix);
      if (!lost) lost = impl_.lost;
      if (std::none_of(lost->begin(), lost->end(), [&](const KeyRange& range) { return range.meets(full); })) return;
      lost = without(*lost, full);
      put("!", "lost", encode_ranges(*lost));
    }

    Changes changes;
    Status allowed;
    std::optional<std::vector<KeyRange>> lost;  // what is left of it; changed by none but updates

   private:
    void take(std::string_view space, std::string_view key, std::optional<std::string> value) {
      if (Status fits = check_place(space, key); !fits && allowed) allowed = fits;
      changes.insert_or_assign(full_key(space, key), std::move(value));
    }
    const Impl& impl_;
  };
  std::unique_lock one_at_a_time(impl_->updating);
  Collected collected(*impl_);
  SKEP_CHECK(change(collected));
  SKEP_CHECK(collected.allowed);
  if (collected.changes.empty()) return {};
  SKEP_TRY(const Impl::Place place, impl_->append(std::move(collected.changes)));
  if (collected.lost) {
    std::lock_guard lock(impl_->mutex);
    impl_->lost = std::move(*collected.lost);
  }
  one_at_a_time.unlock();
  if (impl_->options.durability == Durability::always) return impl_->sync_journal(place);
  return {};
}

Status Store::put(std::string_view space, std::string_view key, std::string_view value) {
  return update([&](Update& update) {
    update.put(space, key, value);
    return Status();
  });
}

Status Store::erase(std::string_view space, std::string_view key) {
  return update([&](Update& update) {
    update.erase(space, key);
    return Status();
  });
}

Result<std::optional<std::string>> Store::get(std::string_view space, std::string_view key) const {
  SKEP_CHECK(check_place(space, key));
  return impl_->read(full_key(space, key));
}

Result<std::optional<std::string>> Store::raw(std::string_view space, std::string_view key) const {
  SKEP_CHECK(check_place(space, key));
  std::string full = full_key(space, key);
  SKEP_TRY(auto snapshot, impl_->lmdb->snapshot());
  SKEP_TRY(auto record, snapshot.get(full));
  if (!record) return std::nullopt;
  return std::string(*record);
}

Result<std::vector<Store::Entry>> Store::scan(std::string_view space, const Scan& scan) const {
  SKEP_CHECK(check_place(space, scan.prefix));
  SKEP_CHECK(check_place(space, scan.after));
  std::string prefix = full_key(space, scan.prefix);
  std::string from = prefix;
  // The first key after K is K with a zero byte.
  if (!scan.after.empty()) from = std::max(prefix, full_key(space, scan.after) + std::string(1, '\0'));
  std::vector<Entry> entries;
  std::unique_lock lock(impl_->mutex);  // both sides of one moment
  Changes changes = impl_->overlay.range(from, prefix);
  auto snapshot = impl_->lmdb->snapshot();
  lock.unlock();
  if (!snapshot) return fail(snapshot.error());

  const size_t before_key = space.size() + 1;
  auto change = changes.begin();
  auto take_changes_before = [&](std::string_view key) {  // and the one at `key`: true
    for (; change != changes.end() && change->first <= key; ++change) {
      bool same = change->first == key;
      if (change->second && entries.size() < scan.limit) {
        entries.push_back({change->first.substr(before_key), scan.keys_only ? "" : *change->second});
      }
      if (same) return ++change, true;
    }
    return false;
  };
  Status walked = snapshot->walk(from, [&](std::string_view key, std::string_view record) {
    if (!key.starts_with(prefix) || entries.size() >= scan.limit) return false;
    if (take_changes_before(key) || entries.size() >= scan.limit) return true;
    Entry entry{std::string(key.substr(before_key)), ""};
    if (!scan.keys_only) {
      if (auto value = decode_record(key, record, impl_->dictionaries)) {
        entry.value = std::move(*value);
      } else {
        entry.broken = named(value.error(), key);
      }
    }
    entries.push_back(std::move(entry));
    return true;
  });
  if (!walked) return fail(std::move(walked).error());
  for (; change != changes.end() && entries.size() < scan.limit; ++change) {
    if (change->second) entries.push_back({change->first.substr(before_key), scan.keys_only ? "" : *change->second});
  }
  return entries;
}

Status Store::purge() {
  SKEP_CHECK(flush());
  std::unique_lock lock(impl_->mutex);
  const uint64_t number = ++impl_->purges_wanted;
  impl_->work.notify_all();
  impl_->flushed.wait(lock, [&] { return impl_->purges_done >= number || impl_->stopping; });
  if (impl_->purges_done < number) return fail(ErrorCode::cancelled, "the state store is being closed");
  return impl_->purged;
}

Status Store::flush() {
  uint64_t wanted = 0;
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->overlay.active.empty() && !impl_->overlay.flushing) {
      // Is there room again? The flusher asks less often.
      if (impl_->refusing && !impl_->recovering && impl_->journals.at(impl_->current)->make_room()) {
        impl_->refusing.reset();
      }
      return {};
    }
    wanted = impl_->recovering ? *impl_->recovering : impl_->journals.at(impl_->current)->generation();
    if (impl_->overlay.active.empty() && !impl_->recovering) --wanted;
  }
  return impl_->flush_up_to(wanted);
}

Status Store::backup(const std::string& path) {
  SKEP_CHECK(flush());
  return impl_->lmdb->copy_to(path);
}

bool Store::may_be_missing(std::string_view space, std::string_view prefix) const {
  std::lock_guard lock(impl_->mutex);
  if (impl_->lost.empty()) return false;
  const std::string full = full_key(space, prefix);
  return std::any_of(impl_->lost.begin(), impl_->lost.end(), [&](const KeyRange& range) { return range.meets(full); });
}

const std::optional<Salvage>& Store::salvaged() const { return impl_->salvaged; }

std::optional<Error> Store::refusing() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->refusing;
}

Store::Usage Store::usage() const {
  LmdbEnvironment::Usage file = impl_->lmdb->usage();
  std::lock_guard lock(impl_->mutex);
  Usage usage{file.used, file.map, file.records, Bytes(impl_->pending())};
  usage.updates = impl_->updates;
  usage.flushes = impl_->flushes;
  usage.syncs = impl_->syncs;
  usage.refusing = impl_->refusing;
  return usage;
}

}  // namespace skep::store
