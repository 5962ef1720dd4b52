#include "store/store_impl.h"
// From the journals into LMDB, a generation at a time.

#include <algorithm>

#include "store/encoding.h"
#include "store/record.h"
#include "store/rewrite.h"
#include "store/store_layout.h"

namespace skep::store {

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
    const auto put = [&](std::string_view key, std::string_view record) { return writer.put(key, record); };
    for (const auto& one : unsaved) SKEP_CHECK(put_dictionary(put, one));
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

bool Store::Impl::refused(const Error& why) {
  refusing = why;
  flushed.notify_all();
  return false;
}

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

}  // namespace skep::store
