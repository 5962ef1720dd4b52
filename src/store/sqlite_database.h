#pragma once
// An SQLite file as the event log and the cache's answers use it, each with connections of its own: in WAL mode, so
// that readers never wait for a writer, and with what is deleted overwritten, so that it can be forgotten. For the .cc
// files of this folder: it shows sqlite3.h.

#include <sqlite3.h>

#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace skep::store {

// A connection. One thread at a time, unless SQLite's own lock is enough (one statement by each).
class SqliteConnection {
 public:
  SqliteConnection() = default;
  SqliteConnection(SqliteConnection&& other) noexcept;
  SqliteConnection& operator=(SqliteConnection&&) = delete;
  ~SqliteConnection() { sqlite3_close(db_); }

  // `busy`: how long a call waits for another's lock.
  static Result<SqliteConnection> open(const std::string& path, std::chrono::milliseconds busy);

  Status run(const char* statements);
  // unavailable: full or locked, try again; corrupt; io.
  [[nodiscard]] Error error() const;
  [[nodiscard]] sqlite3* get() const { return db_; }
  // BEGIN, `work`, COMMIT; all or nothing.
  template <typename Work>
  Status transaction(const Work& work) {
    SKEP_CHECK(run("BEGIN IMMEDIATE"));
    Status done = work();
    if (done) done = run("COMMIT");
    if (!done) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    return done;
  }

 private:
  std::string path_;
  sqlite3* db_ = nullptr;
};

class SqliteStatement {
 public:
  SqliteStatement(const SqliteConnection& db, const std::string& text) {
    sqlite3_prepare_v2(db.get(), text.c_str(), static_cast<int>(text.size()), &statement_, nullptr);
  }
  ~SqliteStatement() { sqlite3_finalize(statement_); }
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  explicit operator bool() const { return statement_ != nullptr; }
  SqliteStatement& bind(int64_t value) { return sqlite3_bind_int64(statement_, ++at_, value), *this; }
  SqliteStatement& bind(double value) { return sqlite3_bind_double(statement_, ++at_, value), *this; }
  SqliteStatement& bind(const std::string& text) {  // the text outlives the step
    sqlite3_bind_text(statement_, ++at_, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    return *this;
  }
  SqliteStatement& bind_bytes(std::string_view bytes) {  // likewise
    sqlite3_bind_blob(statement_, ++at_, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
    return *this;
  }
  int step() { return sqlite3_step(statement_); }
  void reset() {
    sqlite3_reset(statement_);
    at_ = 0;
  }
  [[nodiscard]] int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  [[nodiscard]] double real(int column) const { return sqlite3_column_double(statement_, column); }
  [[nodiscard]] std::string text(int column) const {  // of a text or of bytes
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int at_ = 0;
};

}  // namespace skep::store
