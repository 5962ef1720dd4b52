#include "store/sqlite_database.h"

#include <utility>

namespace skep::store {

SqliteConnection::SqliteConnection(SqliteConnection&& other) noexcept
    : path_(std::move(other.path_)), db_(std::exchange(other.db_, nullptr)) {}

Result<SqliteConnection> SqliteConnection::open(const std::string& path, std::chrono::milliseconds busy) {
  SqliteConnection made;
  made.path_ = path;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  if (sqlite3_open_v2(path.c_str(), &made.db_, flags, nullptr) != SQLITE_OK) return fail(made.error());
  sqlite3_busy_timeout(made.db_, static_cast<int>(busy.count()));
  SKEP_CHECK(made.run("PRAGMA journal_mode = WAL"));
  SKEP_CHECK(made.run("PRAGMA synchronous = NORMAL"));
  SKEP_CHECK(made.run("PRAGMA secure_delete = ON"));
  SKEP_CHECK(made.run("PRAGMA cache_size = -256"));  // KiB
  return made;
}

Status SqliteConnection::run(const char* statements) {
  if (sqlite3_exec(db_, statements, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return fail(error());
}

Error SqliteConnection::error() const {
  const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db_) & 0xff;
  std::string message = fmt::format("{}: {}", path_, db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_));
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
    return {ErrorCode::corrupt, message, "move it away: a new one is made"};
  if (code == SQLITE_FULL || code == SQLITE_BUSY || code == SQLITE_IOERR) return {ErrorCode::unavailable, message, ""};
  return {ErrorCode::io, message, ""};
}

}  // namespace skep::store
