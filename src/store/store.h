#pragma once
// The state store: spaces of keys and values in one LMDB file, compressed, each record with its checksum
// (doc/state.md).
//
//   update() ──▶ journal (write) ──▶ overlay in memory ──▶ acknowledged
//                                        └─ the flusher, ≤ 50 ms later ─▶ one synchronous LMDB commit
//
// LMDB is only ever committed synchronously, hence whole after any crash; the journal and the overlay bridge the time
// until the next commit. What update() has acknowledged survives the death of the process at any instant; the death of
// the machine takes at most what the last 100 ms wrote (Durability::batched), or nothing (Durability::always).
//
// What an update wrote is seen by others as soon as it is journalled, under Durability::always a moment before the disk
// has it. If the disk then fails to sync the journal, the update waits for LMDB's own commit instead; if that fails,
// too, the update returns the error although it is seen, and it is committed when the disk recovers: an error after
// that point says "not safe", not "undone".
//
// Damaged pages of the LMDB file are found when it is opened; what they held is set apart by ranges of keys, the rest
// goes on (salvage.h).
//
// A full disk: updates are refused with `unavailable` and what stands is served on, also by a store that is opened on
// one; the flusher tries again until there is room. One process at a time: open() takes a lock on the folder.
//
// Threads: everything may be called from any thread. update() takes some 10 µs (batched), a read about 5 µs.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "store/salvage.h"

namespace skep::store {

enum class Durability {
  batched,  // acknowledged: survives kill -9; power loss takes at most the last 100 ms
  always,   // acknowledged: survives power loss; takes a wait for the disk, shared by those who come together
};

struct StoreOptions {
  std::string folder;  // made if it is not there
  Durability durability = Durability::batched;
  Duration flush_after = std::chrono::milliseconds(50);  // a first write's longest time outside LMDB
  Bytes map = 16_MiB;                                    // to begin with
  Bytes limit = Bytes(int64_t{64} << 30);                // of the file
  Bytes pending = 64_MiB;                                // journalled, not yet in LMDB; beyond it, updates wait
  Duration patience = std::chrono::seconds(1);           // … so long, then they are refused
};

// One record's place. Space names are short, without NUL, and chosen by skep; keys may hold any bytes.
inline constexpr size_t kLongestSpace = 32;
inline constexpr size_t kLongestKey = 448;

class Store {
 public:
  // io, corrupt; conflict: another process has it open.
  static Result<std::unique_ptr<Store>> open(StoreOptions options);
  ~Store();  // flushes
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // What an update's function works with; it sees its own writes.
  class Update {
   public:
    virtual ~Update() = default;
    virtual Result<std::optional<std::string>> get(std::string_view space, std::string_view key) = 0;
    virtual void put(std::string_view space, std::string_view key, std::string_view value) = 0;
    virtual void erase(std::string_view space, std::string_view key) = 0;
    // What this update leaves under the prefix is all there is: may_be_missing() ends. The prefix ends in a zero byte.
    virtual void complete(std::string_view space, std::string_view prefix) = 0;
  };
  // All of it or nothing, one after another; acknowledged when it returns. An error of `change` undoes it. invalid
  // argument: a key or value too long; unavailable: the disk is full; overloaded: the disk doesn't keep up.
  Status update(const std::function<Status(Update&)>& change);
  // The same without the wait for the disk, for an event loop. An error: it was refused, and `safe` is not called.
  // Otherwise others see the update, and `safe` (may be empty) hears what update() would have returned: on a thread of
  // the store's, in the updates' order, or from inside where there is nothing to wait for (Durability::batched).
  Status update(const std::function<Status(Update&)>& change, std::function<void(Status)> safe);
  Status put(std::string_view space, std::string_view key, std::string_view value);
  Status erase(std::string_view space, std::string_view key);

  // corrupt: the record fails its checks; the error names space and key.
  [[nodiscard]] Result<std::optional<std::string>> get(std::string_view space, std::string_view key) const;

  struct Entry {
    std::string key;
    std::string value;              // empty with keys_only
    std::optional<Error> broken{};  // the record fails its checks: no value, but it is there
  };
  struct Scan {
    std::string prefix;
    std::string after;  // keys greater than this; empty: from the prefix on
    size_t limit = 1000;
    bool keys_only = false;
  };
  // In the keys' order, one consistent moment.
  [[nodiscard]] Result<std::vector<Entry>> scan(std::string_view space, const Scan& scan) const;

  // A damaged page may have held records under the prefix: what stands there is not all, until an update says so.
  [[nodiscard]] bool may_be_missing(std::string_view space, std::string_view prefix) const;
  // What open() did about a damaged file; nothing: it was whole.
  [[nodiscard]] const std::optional<Salvage>& salvaged() const;

  // The stored bytes of a record as they are, for a quarantine: what a broken record still holds.
  [[nodiscard]] Result<std::optional<std::string>> raw(std::string_view space, std::string_view key) const;

  // What was erased before is in none of the store's files when it returns: no freed page, journal or dictionary has
  // it. Writes the file anew, in a time that goes with its size, while others read and update.
  Status purge();
  Status flush();  // everything acknowledged before is in LMDB
  // A consistent copy of everything acknowledged before, while others go on. Can be put in the place of state.mdb. What
  // stood at `path` stays until the copy is whole and on the disk.
  Status backup(const std::string& path);

  struct Usage {
    Bytes used, map;       // of the file
    uint64_t records = 0;  // in it
    Bytes pending;         // not yet in it
    int64_t updates = 0, flushes = 0;
    int64_t syncs = 0;  // of the journal (Durability::always): fewer than updates where updates come together
    std::optional<Error> refusing;  // why updates are refused now: the disk is full
  };
  [[nodiscard]] Usage usage() const;
  // Why updates are refused now, if they are. Ends by itself.
  [[nodiscard]] std::optional<Error> refusing() const;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Reads every record of a store file that no process has open, and says what is broken: for restore and checks.
struct CheckReport {
  uint64_t records = 0;
  std::vector<std::string> broken;  // "space/key: why", at most 100
};
Result<CheckReport> check_file(const std::string& path);

// Copies a file; what stood at `to` stays until the copy is whole and on the disk.
Status copy_whole(const std::string& from, const std::string& to);

// Puts a backup in the place of the folder's state, after checking it: killed at any moment, the one stands there or
// the other. conflict: a process has the store open.
Status restore(const std::string& backup, const std::string& folder);

}  // namespace skep::store
