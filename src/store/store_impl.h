#pragma once
// What a store is made of, and who works on it: store.cc (reads and updates), store_recovery.cc (the start),
// store_flush.cc (from the journals into LMDB) and store_purge.cc (the file anew). For those four alone.

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/folder_lock.h"
#include "store/acknowledgements.h"
#include "store/dictionaries.h"
#include "store/journal.h"
#include "store/lmdb_environment.h"
#include "store/overlay.h"
#include "store/store.h"
#include "store/trainer.h"

namespace skep::store {

inline constexpr char kMark = '\0';  // between space and key
inline std::string_view space_of(std::string_view full) { return full.substr(0, full.find(kMark)); }

// The last record of a generation that another one follows. Without it, what follows is not replayed: a crash of the
// machine must not keep later changes and lose earlier ones.
inline constexpr std::string_view kSeal = "\xff";

// A journal record's body: for each change a flag (1: a value follows), the key and perhaps the value.
std::string encode_changes(const Changes& changes);
Status decode_changes(std::string_view body, Changes& into);

struct Store::Impl {
  StoreOptions options;
  std::optional<FolderLock> folder_lock;
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
  std::optional<Acknowledgements> acknowledgements;  // Durability::always

  ~Impl();  // flushes

  // store_recovery.cc. Replays what the journals hold beyond LMDB, oldest generation first, and begins a new one.
  Status recover();
  // What recover() found no room for.
  bool finish_recovery(std::unique_lock<std::mutex>& lock);

  // store.cc. Where a change stands in the journals.
  struct Place {
    size_t index = 0;
    uint64_t generation = 0;
    int64_t end = 0;
  };
  // One update. Nothing: it changed nothing.
  Result<std::optional<Place>> apply(const std::function<Status(Update&)>& change);
  // Journals the changes, then makes them visible. Called with `updating` held.
  Result<Place> append(Changes changes);
  // Waits until the disk has the journal up to this place; whoever comes first syncs for all that wait behind it.
  // Called without `updating`, so that others append meanwhile.
  Status sync_journal(const Place& place);
  Status sync_files(const Place& place, bool both);
  Result<std::optional<std::string>> read(std::string_view full) const;

  // store_flush.cc. The flusher's life; the other calls are made on its thread, or before it runs.
  void run_flusher();
  // Moves the active generation into LMDB. false: the disk said no, and everything stands where it stood.
  bool flush_once(std::unique_lock<std::mutex>& lock);
  bool flush_changes(std::unique_lock<std::mutex>& lock, uint64_t generation);
  Status write_to_lmdb(const Changes& changes, uint64_t generation);
  // Notes why updates are refused, and tells who waits. Always false.
  bool refused(const Error& why);
  // Any thread: waits for LMDB to have this generation, or for the flusher to say why not.
  Status flush_up_to(uint64_t generation);

  // store_purge.cc, on the flusher's thread.
  void run_purge(std::unique_lock<std::mutex>& lock);
  Status write_anew();

  int64_t pending() const { return journals[0]->size() + journals[1]->size(); }
};

}  // namespace skep::store
