#include "store/store_impl.h"
// The file anew, without what was erased.

#include <filesystem>

#include "store/rewrite.h"
#include "store/store_layout.h"

namespace skep::store {

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

Status Store::purge() {
  SKEP_CHECK(flush());
  std::unique_lock lock(impl_->mutex);
  const uint64_t number = ++impl_->purges_wanted;
  impl_->work.notify_all();
  impl_->flushed.wait(lock, [&] { return impl_->purges_done >= number || impl_->stopping; });
  if (impl_->purges_done < number) return fail(ErrorCode::cancelled, "the state store is being closed");
  return impl_->purged;
}

}  // namespace skep::store
