#include "store/lmdb_environment.h"

#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <filesystem>
#include <mutex>
#include <utility>

#include "store/journal.h"
#include "store/store_layout.h"

namespace skep::store {
namespace {

MDB_val value_of(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view view_of(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }

// LMDB 0.9 checks some of what it reads from its pages with assertions, and would abort the process: for a damaged page
// that is an error of this file, as any other. Thrown through LMDB's frames, caught by guarded().
struct Assertion {};
void assertion_failed(MDB_env* /*environment*/, const char* /*what*/) { throw Assertion(); }

// What `call` returns, an errno or LMDB's code; MDB_CORRUPTED where LMDB would have aborted.
template <typename Call>
int guarded(const Call& call) {
  try {
    return call();
  } catch (const Assertion&) {
    return MDB_CORRUPTED;
  }
}

class TransactionWriter final : public LmdbEnvironment::Writer {
 public:
  TransactionWriter(MDB_txn* transaction, unsigned tree, const std::string& path)
      : transaction_(transaction), tree_(tree), path_(path) {}
  Status put(std::string_view key, std::string_view record) override {
    MDB_val k = value_of(key);
    MDB_val v = value_of(record);
    return check(guarded([&] { return mdb_put(transaction_, tree_, &k, &v, 0); }));
  }
  Status erase(std::string_view key) override {
    MDB_val k = value_of(key);
    const int code = guarded([&] { return mdb_del(transaction_, tree_, &k, nullptr); });
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
  std::unique_ptr<LmdbEnvironment> made(new LmdbEnvironment(path, map, std::max(map, limit), read_only));
  SKEP_CHECK(made->connect());
  return made;
}

LmdbEnvironment::LmdbEnvironment(std::string path, Bytes map, Bytes limit, bool read_only)
    : path_(std::move(path)), map_(map), limit_(limit), read_only_(read_only) {}

LmdbEnvironment::~LmdbEnvironment() {
  if (environment_ != nullptr) mdb_env_close(environment_);
}

// Called alone: by open(), or with `resizing_` held exclusively.
Status LmdbEnvironment::connect() {
  MDB_env* environment = nullptr;
  if (int code = mdb_env_create(&environment); code != 0) return fail(lmdb_error(path_, code));
  const auto begin = [&]() -> int {
    mdb_env_set_assert(environment, assertion_failed);
    // The size on disk may be beyond `map`: LMDB then takes that.
    if (int code = mdb_env_set_mapsize(environment, static_cast<size_t>(map_.count)); code != 0) return code;
    if (int code = mdb_env_set_maxreaders(environment, 510); code != 0) return code;
    const unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD | (read_only_ ? MDB_RDONLY : 0U);
    if (int code = mdb_env_open(environment, path_.c_str(), flags, 0600); code != 0) return code;
    MDB_txn* transaction = nullptr;
    if (int code = mdb_txn_begin(environment, nullptr, MDB_RDONLY, &transaction); code != 0) return code;
    const int code = mdb_dbi_open(transaction, nullptr, 0, &tree_);  // the main tree is always there
    if (code == 0) return mdb_txn_commit(transaction);
    mdb_txn_abort(transaction);
    return code;
  };
  if (const int code = guarded(begin); code != 0) {
    mdb_env_close(environment);
    return fail(lmdb_error(path_, code));
  }
  MDB_envinfo info{};
  mdb_env_info(environment, &info);
  map_ = Bytes(static_cast<int64_t>(info.me_mapsize));
  limit_ = std::max(map_, limit_);
  environment_ = environment;
  return {};
}

// After a commit whose last page could not be written LMDB refuses everything (MDB_PANIC) until it is opened again:
// what the file says then is the state before that commit, or after it. Both are whole.
void LmdbEnvironment::heal() {
  const std::unique_lock lock(resizing_);  // every transaction of this process has ended
  if (environment_ != nullptr) {
    MDB_txn* transaction = nullptr;
    const int code = mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &transaction);
    if (code == 0) mdb_txn_abort(transaction);
    if (code != MDB_PANIC) return;
    mdb_env_close(std::exchange(environment_, nullptr));
  }
  static_cast<void>(connect());  // the next write tries again
}

Result<LmdbEnvironment::Snapshot> LmdbEnvironment::snapshot() {
  std::shared_lock lock(resizing_);
  if (environment_ == nullptr) return fail(closed());
  MDB_txn* transaction = nullptr;
  if (int code = mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &transaction); code != 0) {
    return fail(lmdb_error(path_, code));
  }
  return Snapshot(*this, transaction, std::move(lock));
}

Error LmdbEnvironment::closed() const {
  return {ErrorCode::unavailable, fmt::format("{}: could not be opened again after an error", path_),
          "it is tried again by itself"};
}

LmdbEnvironment::Snapshot::Snapshot(Snapshot&& other) noexcept
    : owner_(other.owner_), transaction_(std::exchange(other.transaction_, nullptr)), lock_(std::move(other.lock_)) {}

LmdbEnvironment::Snapshot::~Snapshot() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
}

Result<std::optional<std::string_view>> LmdbEnvironment::Snapshot::get(std::string_view key) const {
  MDB_val k = value_of(key);
  MDB_val v{};
  const int code = guarded([&] { return mdb_get(transaction_, owner_->tree_, &k, &v); });
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
  const auto move = [&](MDB_cursor_op to) { return guarded([&] { return mdb_cursor_get(cursor, &k, &v, to); }); };
  int code = move(from.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (code == 0 && each(view_of(k), view_of(v))) code = move(MDB_NEXT);
  mdb_cursor_close(cursor);
  if (code != 0 && code != MDB_NOTFOUND) return fail(lmdb_error(owner_->path_, code));
  return {};
}

Status LmdbEnvironment::write(const std::function<Status(Writer&)>& fill) {
  if (environment_ == nullptr) heal();
  for (;;) {
    Status done = write_once(fill);
    if (done) return done;
    if (!full_) {
      heal();
      return done;
    }
    SKEP_CHECK(grow());
  }
}

Status LmdbEnvironment::write_once(const std::function<Status(Writer&)>& fill) {
  std::shared_lock lock(resizing_);
  full_ = false;
  if (environment_ == nullptr) return fail(closed());
  MDB_txn* transaction = nullptr;
  if (int code = mdb_txn_begin(environment_, nullptr, 0, &transaction); code != 0) return fail(lmdb_error(path_, code));
  TransactionWriter writer(transaction, tree_, path_);
  Status filled = fill(writer);
  if (!filled) {
    mdb_txn_abort(transaction);
    full_ = writer.code() == MDB_MAP_FULL;
    return filled;
  }
  int code = 0;
  try {
    code = mdb_txn_commit(transaction);
  } catch (const Assertion&) {  // it stopped halfway; what it returns itself comes after its own abort
    mdb_txn_abort(transaction);
    code = MDB_CORRUPTED;
  }
  if (code == 0) return {};
  full_ = code == MDB_MAP_FULL;
  return fail(lmdb_error(path_, code));
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

Status LmdbEnvironment::replace_by(const std::string& path, const std::function<void()>& meanwhile) {
  const std::unique_lock lock(resizing_);  // every transaction of this process has ended
  if (::rename(path.c_str(), path_.c_str()) != 0) return fail(system_error(path_, errno));
  if (environment_ != nullptr) mdb_env_close(std::exchange(environment_, nullptr));
  meanwhile();
  return connect();
}

Status LmdbEnvironment::copy_to(const std::string& path) {
  std::string unfinished = path + ".part";
  int file = ::open(unfinished.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return fail(system_error(unfinished, errno));
  int code = 0;
  {
    std::shared_lock lock(resizing_);
    if (environment_ == nullptr) {
      ::close(file);
      ::unlink(unfinished.c_str());
      return fail(closed());
    }
    code = mdb_env_copyfd2(environment_, file, MDB_CP_COMPACT);
  }
  if (code == 0 && ::fsync(file) != 0) code = errno;
  ::close(file);
  if (code == 0 && ::rename(unfinished.c_str(), path.c_str()) != 0) code = errno;
  if (code == 0) return sync_folder(std::filesystem::path(path).parent_path().string());
  ::unlink(unfinished.c_str());
  return fail(lmdb_error(path, code));
}

LmdbEnvironment::Usage LmdbEnvironment::usage() {
  std::shared_lock lock(resizing_);
  if (environment_ == nullptr) return {};
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
