#pragma once
// One LMDB environment as skep uses it: a single tree of keys and records, read by any thread, written by one. Every
// commit is synchronous, so the file is whole after any crash. The map grows by doubling when a write needs room;
// readers wait for that moment. A damaged page is an error, not the end of the process; a write that the disk broke off
// in its last step costs that write, and the file is opened again.

#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

struct MDB_env;
struct MDB_txn;

namespace skep::store {

// An error of LMDB in our words: `unavailable` where there is no room on the disk, `corrupt` for a broken page.
Error lmdb_error(const std::string& what, int code);

class LmdbEnvironment {
 public:
  static constexpr size_t kLongestKey = 511;  // bytes, LMDB's own limit

  // The file is created if it is not there. `map`: to begin with; `limit`: how far it may grow.
  static Result<std::unique_ptr<LmdbEnvironment>> open(const std::string& path, Bytes map, Bytes limit,
                                                       bool read_only = false);
  ~LmdbEnvironment();
  LmdbEnvironment(const LmdbEnvironment&) = delete;
  LmdbEnvironment& operator=(const LmdbEnvironment&) = delete;

  // A snapshot. Views stay valid as long as it lives; keep it short, pages that it sees can't be used again.
  class Snapshot {
   public:
    Snapshot(Snapshot&& other) noexcept;
    Snapshot& operator=(Snapshot&&) = delete;
    ~Snapshot();
    [[nodiscard]] Result<std::optional<std::string_view>> get(std::string_view key) const;
    // Calls `each` for keys from `from` on, in order, until it says false.
    [[nodiscard]] Status walk(std::string_view from,
                              const std::function<bool(std::string_view key, std::string_view record)>& each) const;

   private:
    friend class LmdbEnvironment;
    Snapshot(LmdbEnvironment& owner, MDB_txn* transaction, std::shared_lock<std::shared_mutex> lock)
        : owner_(&owner), transaction_(transaction), lock_(std::move(lock)) {}
    LmdbEnvironment* owner_;
    MDB_txn* transaction_;
    std::shared_lock<std::shared_mutex> lock_;
  };
  Result<Snapshot> snapshot();

  // What write() gives to its caller.
  class Writer {
   public:
    virtual ~Writer() = default;
    virtual Status put(std::string_view key, std::string_view record) = 0;
    virtual Status erase(std::string_view key) = 0;  // nothing there: fine
  };
  // One transaction, on disk when it returns. `fill` may run again from the start, after the map grew. One thread.
  Status write(const std::function<Status(Writer&)>& fill);

  // Another file takes this one's place, which is closed; `meanwhile` runs while nobody reads or writes. On write()'s
  // thread.
  Status replace_by(const std::string& path, const std::function<void()>& meanwhile);

  // A consistent, compacted copy while others read and write, as a file of its own.
  Status copy_to(const std::string& path);

  struct Usage {
    Bytes used, map;
    uint64_t records = 0;
  };
  [[nodiscard]] Usage usage();

 private:
  LmdbEnvironment(std::string path, Bytes map, Bytes limit, bool read_only);
  Status connect();
  void heal();
  Status write_once(const std::function<Status(Writer&)>& fill);
  Status grow();
  [[nodiscard]] Error closed() const;

  MDB_env* environment_ = nullptr;  // none after an error, until it can be opened again
  unsigned tree_ = 0;
  std::string path_;
  Bytes map_, limit_;
  bool read_only_;
  bool full_ = false;           // the last write_once() found the map full
  std::shared_mutex resizing_;  // shared: a transaction is open; alone: the map is being changed
};

}  // namespace skep::store
