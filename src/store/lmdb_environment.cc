#include "store/lmdb_environment.h"

#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <mutex>
#include <utility>

#include "store/journal.h"

namespace skep::store {
namespace {

MDB_val value_of(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view view_of(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }

class TransactionWriter final : public LmdbEnvironment::Writer {
 public:
  TransactionWriter(MDB_txn* transaction, unsigned tree, const std::string& path)
      : transaction_(transaction), tree_(tree), path_(path) {}
  Status put(std::string_view key, std::string_view record) override {
    MDB_val k = value_of(key);
    MDB_val v = value_of(record);
    return check(mdb_put(transaction_, tree_, &k, &v, 0));
  }
  Status erase(std::string_view key) override {
    MDB_val k = value_of(key);
    int code = mdb_del(transaction_, tree_, &k, nullptr);
    return check(code == MDB_NOTFOUND ? 0 : code);
  }
  [[nodiscard]] int code() const { return code_; }

 private:
  Status check(int code) {
    if (code == 0) return {};
    code_ = code;
    return fail(lmdb_error(path_, code));
  }

  MDB_txn* transaction_;
  unsigned tree_;
  const std::string& path_;
  int code_ = 0;
};

}  // namespace

Error lmdb_error(const std::string& what, int code) {
  switch (code) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_PANIC:
      return {ErrorCode::corrupt, fmt::format("{}: {}", what, mdb_strerror(code)), "restore a backup of it"};
    case MDB_VERSION_MISMATCH:
      return {ErrorCode::unsupported, fmt::format("{}: {}", what, mdb_strerror(code)), "it is another LMDB's"};
    case MDB_MAP_FULL:
      return {ErrorCode::unavailable, fmt::format("{}: the store has grown to its limit", what),
              "raise state.limit, or let agents go"};
    case EIO:  // what LMDB says of a write that went in only in part, as the last one before a disk is full does
      return {ErrorCode::unavailable, fmt::format("{}: the disk is full, or fails", what), "make room on the disk"};
    default:
      return code > 0 ? system_error(what, code)
                      : Error{ErrorCode::io, fmt::format("{}: {}", what, mdb_strerror(code)), ""};
  }
}

Result<std::unique_ptr<LmdbEnvironment>> LmdbEnvironment::open(const std::string& path, Bytes map, Bytes limit,
                                                               bool read_only) {
  MDB_env* environment = nullptr;
  if (int code = mdb_env_create(&environment); code != 0) return fail(lmdb_error(path, code));
  unsigned tree = 0;
  auto fails = [&](int code) {
    mdb_env_close(environment);
    return fail(lmdb_error(path, code));
  };
  // The size on disk may be beyond `map`: LMDB then takes that.
  if (int code = mdb_env_set_mapsize(environment, static_cast<size_t>(map.count)); code != 0) return fails(code);
  if (int code = mdb_env_set_maxreaders(environment, 510); code != 0) return fails(code);
  unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD | (read_only ? MDB_RDONLY : 0U);
  if (int code = mdb_env_open(environment, path.c_str(), flags, 0600); code != 0) return fails(code);
  MDB_txn* transaction = nullptr;
  if (int code = mdb_txn_begin(environment, nullptr, MDB_RDONLY, &transaction); code != 0) return fails(code);
  int code = mdb_dbi_open(transaction, nullptr, 0, &tree);  // the main tree is always there
  if (code == 0) code = mdb_txn_commit(transaction);
  if (code != 0) return fails(code);
  MDB_envinfo info{};
  mdb_env_info(environment, &info);
  return std::unique_ptr<LmdbEnvironment>(
      new LmdbEnvironment(environment, tree, path, Bytes(static_cast<int64_t>(info.me_mapsize)), limit));
}

LmdbEnvironment::LmdbEnvironment(MDB_env* environment, unsigned tree, std::string path, Bytes map, Bytes limit)
    : environment_(environment), tree_(tree), path_(std::move(path)), map_(map), limit_(std::max(map, limit)) {}

LmdbEnvironment::~LmdbEnvironment() { mdb_env_close(environment_); }

Result<LmdbEnvironment::Snapshot> LmdbEnvironment::snapshot() {
  std::shared_lock lock(resizing_);
  MDB_txn* transaction = nullptr;
  if (int code = mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &transaction); code != 0) {
    return fail(lmdb_error(path_, code));
  }
  return Snapshot(*this, transaction, std::move(lock));
}

LmdbEnvironment::Snapshot::Snapshot(Snapshot&& other) noexcept
    : owner_(other.owner_), transaction_(std::exchange(other.transaction_, nullptr)), lock_(std::move(other.lock_)) {}

LmdbEnvironment::Snapshot::~Snapshot() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
}

Result<std::optional<std::string_view>> LmdbEnvironment::Snapshot::get(std::string_view key) const {
  MDB_val k = value_of(key);
  MDB_val v{};
  int code = mdb_get(transaction_, owner_->tree_, &k, &v);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) return fail(lmdb_error(owner_->path_, code));
  return view_of(v);
}

Status LmdbEnvironment::Snapshot::walk(std::string_view from,
                                       const std::function<bool(std::string_view, std::string_view)>& each) const {
  MDB_cursor* cursor = nullptr;
  if (int code = mdb_cursor_open(transaction_, owner_->tree_, &cursor); code != 0) {
    return fail(lmdb_error(owner_->path_, code));
  }
  MDB_val k = value_of(from);
  MDB_val v{};
  int code = mdb_cursor_get(cursor, &k, &v, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (code == 0 && each(view_of(k), view_of(v))) code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
  mdb_cursor_close(cursor);
  if (code != 0 && code != MDB_NOTFOUND) return fail(lmdb_error(owner_->path_, code));
  return {};
}

Status LmdbEnvironment::write(const std::function<Status(Writer&)>& fill) {
  for (;;) {
    int code = 0;
    {
      std::shared_lock lock(resizing_);
      MDB_txn* transaction = nullptr;
      if (code = mdb_txn_begin(environment_, nullptr, 0, &transaction); code != 0) return fail(lmdb_error(path_, code));
      TransactionWriter writer(transaction, tree_, path_);
      Status filled = fill(writer);
      code = writer.code();
      if (filled) {
        code = mdb_txn_commit(transaction);
        if (code == 0) return {};
      } else {
        mdb_txn_abort(transaction);
        if (code != MDB_MAP_FULL) return filled;
      }
    }
    if (code != MDB_MAP_FULL) return fail(lmdb_error(path_, code));
    SKEP_CHECK(grow());
  }
}

Status LmdbEnvironment::grow() {
  if (map_ >= limit_) return fail(lmdb_error(path_, MDB_MAP_FULL));
  std::unique_lock lock(resizing_);  // every transaction of this process has ended
  Bytes wanted(std::min(map_.count * 2, limit_.count));
  if (int code = mdb_env_set_mapsize(environment_, static_cast<size_t>(wanted.count)); code != 0) {
    return fail(lmdb_error(path_, code));
  }
  map_ = wanted;
  return {};
}

Status LmdbEnvironment::copy_to(const std::string& path) {
  std::string unfinished = path + ".part";
  int file = ::open(unfinished.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return fail(system_error(unfinished, errno));
  int code = 0;
  {
    std::shared_lock lock(resizing_);
    code = mdb_env_copyfd2(environment_, file, MDB_CP_COMPACT);
  }
  if (code == 0 && ::fsync(file) != 0) code = errno;
  ::close(file);
  if (code == 0 && ::rename(unfinished.c_str(), path.c_str()) != 0) code = errno;
  if (code == 0) return {};
  ::unlink(unfinished.c_str());
  return fail(lmdb_error(path, code));
}

LmdbEnvironment::Usage LmdbEnvironment::usage() {
  std::shared_lock lock(resizing_);
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(environment_, &info);
  mdb_env_stat(environment_, &stat);
  Usage usage;
  usage.used = Bytes(static_cast<int64_t>((info.me_last_pgno + 1) * stat.ms_psize));
  usage.map = map_;
  usage.records = stat.ms_entries;
  return usage;
}

}  // namespace skep::store
