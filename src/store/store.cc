#include "store/store.h"

#include <algorithm>
#include <cassert>
#include <filesystem>

#include "store/record.h"
#include "store/store_impl.h"
#include "store/store_layout.h"

namespace skep::store {
namespace {

std::string full_key(std::string_view space, std::string_view key) {
  std::string full;
  full.reserve(space.size() + 1 + key.size());
  full += space;
  full += kMark;
  full += key;
  return full;
}

Status check_place([[maybe_unused]] std::string_view space, std::string_view key) {
  assert(!space.empty() && space.size() <= kLongestSpace && space.find(kMark) == space.npos);
  if (key.size() <= kLongestKey) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("a key of {} bytes is too long for the store", key.size()),
              fmt::format("at most {}", kLongestKey));
}

}  // namespace

Store::Impl::~Impl() {
  acknowledgements.reset();  // they may wait for the flusher
  if (flusher.joinable()) {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    work.notify_all();
    flusher.join();
  }
  lmdb.reset();
}

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
  SKEP_TRY(impl->folder_lock, FolderLock::take(folder));
  std::error_code ignored;
  std::filesystem::remove(folder + "/state.mdb.new", ignored);  // of a rewriting that was killed
  SKEP_TRY(impl->salvaged, mend_tree(folder));
  SKEP_TRY(impl->lmdb, LmdbEnvironment::open(folder + "/state.mdb", impl->options.map, impl->options.limit));
  SKEP_CHECK(impl->recover());
  impl->flusher = std::thread([raw = impl.get()] { raw->run_flusher(); });
  if (impl->options.durability == Durability::always) impl->acknowledgements.emplace();
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::optional<Store::Impl::Place>> Store::Impl::apply(const std::function<Status(Update&)>& change) {
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
  const std::lock_guard one_at_a_time(updating);
  Collected collected(*this);
  SKEP_CHECK(change(collected));
  SKEP_CHECK(collected.allowed);
  if (collected.changes.empty()) return std::nullopt;
  SKEP_TRY(const Place place, append(std::move(collected.changes)));
  if (collected.lost) {
    std::lock_guard lock(mutex);
    lost = std::move(*collected.lost);
  }
  return place;
}

Status Store::update(const std::function<Status(Update&)>& change) {
  SKEP_TRY(const auto place, impl_->apply(change));
  return place && impl_->acknowledgements ? impl_->sync_journal(*place) : Status();
}

Status Store::update(const std::function<Status(Update&)>& change, std::function<void(Status)> safe) {
  SKEP_TRY(const auto place, impl_->apply(change));
  if (!safe) return {};
  if (place && impl_->acknowledgements) {
    impl_->acknowledgements->add([impl = impl_.get(), place = *place] { return impl->sync_journal(place); },
                                 std::move(safe));
  } else {
    safe({});
  }
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
