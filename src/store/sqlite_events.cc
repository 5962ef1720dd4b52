#include "store/sqlite_events.h"

#include <sqlite3.h>

#include <algorithm>
#include <mutex>

namespace skep::store {
namespace {

constexpr int kBusyMs = 5'000;
constexpr int kDeleteAtOnce = 10'000;  // rows of a retention step: short write locks
constexpr int kMostRows = 10'000;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS events (
  at INTEGER NOT NULL, kind TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, tier TEXT NOT NULL,
  caller TEXT NOT NULL, task INTEGER NOT NULL, seconds REAL NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_at ON events (at);
CREATE INDEX IF NOT EXISTS events_agent ON events (agent, at) WHERE agent <> '';
)";

constexpr const char* kColumns =
    "at, kind, agent, model, tier, caller, task, seconds, prompt_tokens, completion_tokens, detail";

int64_t us(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

Error sqlite_error(sqlite3* db, const std::string& path) {
  int code = db == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db) & 0xff;
  std::string message = fmt::format("{}: {}", path, db == nullptr ? "out of memory" : sqlite3_errmsg(db));
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
    return {ErrorCode::corrupt, message, "move it away: a new one is made"};
  if (code == SQLITE_FULL || code == SQLITE_BUSY || code == SQLITE_IOERR) return {ErrorCode::unavailable, message, ""};
  return {ErrorCode::io, message, ""};
}

class Statement {
 public:
  Statement(sqlite3* db, const std::string& text) {
    sqlite3_prepare_v2(db, text.c_str(), static_cast<int>(text.size()), &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  explicit operator bool() const { return statement_ != nullptr; }
  Statement& bind(int64_t value) { return sqlite3_bind_int64(statement_, ++at_, value), *this; }
  Statement& bind(double value) { return sqlite3_bind_double(statement_, ++at_, value), *this; }
  Statement& bind(const std::string& text) {  // the text outlives the step
    sqlite3_bind_text(statement_, ++at_, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    return *this;
  }
  int step() { return sqlite3_step(statement_); }
  void reset() {
    sqlite3_reset(statement_);
    at_ = 0;
  }
  [[nodiscard]] int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  [[nodiscard]] double real(int column) const { return sqlite3_column_double(statement_, column); }
  [[nodiscard]] std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int at_ = 0;
};

}  // namespace

struct SqliteEvents::Impl {
  std::string path;
  Bytes most;
  sqlite3* writer = nullptr;
  sqlite3* reader = nullptr;
  std::mutex reading;
  ~Impl() {
    sqlite3_close(reader);
    sqlite3_close(writer);
  }
  Status run(const char* text) {
    if (sqlite3_exec(writer, text, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return fail(sqlite_error(writer, path));
  }
  Status insert(const std::vector<Event>& events);
  int64_t number(const char* pragma) {
    Statement s(writer, pragma);
    return s && s.step() == SQLITE_ROW ? s.integer(0) : 0;
  }
  // In use, the pages aside that wait to be used again.
  Bytes size() {
    return Bytes((number("PRAGMA page_count") - number("PRAGMA freelist_count")) * number("PRAGMA page_size"));
  }
  Status make_room();
};

Result<std::unique_ptr<EventStore>> SqliteEvents::open(const std::string& path, Bytes most) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->most = most;
  for (sqlite3** one : {&impl->writer, &impl->reader}) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    if (sqlite3_open_v2(path.c_str(), one, flags, nullptr) != SQLITE_OK) return fail(sqlite_error(*one, path));
    sqlite3_busy_timeout(*one, kBusyMs);
  }
  SKEP_CHECK(impl->run("PRAGMA journal_mode = WAL"));
  SKEP_CHECK(impl->run("PRAGMA synchronous = NORMAL"));
  SKEP_CHECK(impl->run("PRAGMA secure_delete = ON"));  // what is deleted is overwritten, that it can be forgotten
  SKEP_CHECK(impl->run("PRAGMA cache_size = -256"));   // KiB: what is only appended to is never read again
  SKEP_CHECK(impl->run(kSchema));
  return std::unique_ptr<EventStore>(new SqliteEvents(std::move(impl)));
}

SqliteEvents::SqliteEvents(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteEvents::~SqliteEvents() = default;

Status SqliteEvents::Impl::insert(const std::vector<Event>& events) {
  Statement insert(writer, fmt::format("INSERT INTO events ({}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", kColumns));
  if (!insert) return fail(sqlite_error(writer, path));
  for (const Event& e : events) {
    insert.bind(us(e.at)).bind(e.kind).bind(e.agent).bind(e.model).bind(e.tier).bind(e.caller).bind(e.task);
    insert.bind(e.seconds).bind(e.prompt_tokens).bind(e.completion_tokens).bind(e.detail);
    if (insert.step() != SQLITE_DONE) return fail(sqlite_error(writer, path));
    insert.reset();
  }
  return {};
}

// The file keeps its size; the room is for what comes.
Status SqliteEvents::Impl::make_room() {
  constexpr int kRounds = 16;  // of an append, that it takes a bounded time
  for (int i = 0; i < kRounds && size() > most; ++i) {
    Statement remove(writer, "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events ORDER BY at LIMIT ?)");
    if (!remove) return fail(sqlite_error(writer, path));
    remove.bind(int64_t{kDeleteAtOnce});
    if (remove.step() != SQLITE_DONE) return fail(sqlite_error(writer, path));
    if (sqlite3_changes(writer) == 0) break;
  }
  return {};
}

Status SqliteEvents::append(const std::vector<Event>& events) {
  SKEP_CHECK(impl_->make_room());
  SKEP_CHECK(impl_->run("BEGIN IMMEDIATE"));
  Status done = impl_->insert(events);
  if (done) done = impl_->run("COMMIT");
  if (!done) sqlite3_exec(impl_->writer, "ROLLBACK", nullptr, nullptr, nullptr);
  return done;
}

Result<std::vector<Event>> SqliteEvents::query(const EventFilter& filter) {
  std::lock_guard lock(impl_->reading);
  std::string text = fmt::format("SELECT {} FROM events WHERE at >= ? AND at < ?", kColumns);
  std::string area = filter.kind + ".";
  std::string area_end = filter.kind + "/";  // the character after the dot
  if (!filter.kind.empty()) text += " AND (kind = ? OR (kind >= ? AND kind < ?))";
  if (!filter.agent.empty()) text += " AND agent = ? AND agent <> ''";
  if (!filter.model.empty()) text += " AND model = ?";
  text += fmt::format(" ORDER BY at {0}, rowid {0} LIMIT ?", filter.newest_first ? "DESC" : "ASC");
  Statement select(impl_->reader, text);
  if (!select) return fail(sqlite_error(impl_->reader, impl_->path));
  select.bind(filter.since ? us(*filter.since) : INT64_MIN).bind(filter.until ? us(*filter.until) : INT64_MAX);
  if (!filter.kind.empty()) select.bind(filter.kind).bind(area).bind(area_end);
  if (!filter.agent.empty()) select.bind(filter.agent);
  if (!filter.model.empty()) select.bind(filter.model);
  select.bind(int64_t{std::clamp(filter.limit, 0, kMostRows)});
  std::vector<Event> events;
  int code = SQLITE_ROW;
  while ((code = select.step()) == SQLITE_ROW) {
    Event e;
    e.at = WallTime(std::chrono::microseconds(select.integer(0)));
    e.kind = select.text(1);
    e.agent = select.text(2);
    e.model = select.text(3);
    e.tier = select.text(4);
    e.caller = select.text(5);
    e.task = select.integer(6);
    e.seconds = select.real(7);
    e.prompt_tokens = select.integer(8);
    e.completion_tokens = select.integer(9);
    e.detail = select.text(10);
    events.push_back(std::move(e));
  }
  if (code != SQLITE_DONE) return fail(sqlite_error(impl_->reader, impl_->path));
  return events;
}

Status SqliteEvents::keep_house(WallTime now, Duration retention) {
  for (;;) {
    Statement remove(impl_->writer,
                     "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE at < ? ORDER BY at LIMIT ?)");
    if (!remove) return fail(sqlite_error(impl_->writer, impl_->path));
    remove.bind(us(now - retention)).bind(int64_t{kDeleteAtOnce});
    if (remove.step() != SQLITE_DONE) return fail(sqlite_error(impl_->writer, impl_->path));
    if (sqlite3_changes(impl_->writer) < kDeleteAtOnce) return {};
  }
}

Status SqliteEvents::forget(const std::string& agent) {
  if (agent.empty()) return {};  // nobody's
  Statement remove(impl_->writer, "DELETE FROM events WHERE agent = ? AND agent <> ''");
  if (!remove) return fail(sqlite_error(impl_->writer, impl_->path));
  remove.bind(agent);
  if (remove.step() != SQLITE_DONE) return fail(sqlite_error(impl_->writer, impl_->path));
  remove.reset();
  return impl_->run("PRAGMA wal_checkpoint(TRUNCATE)");  // the write-ahead log still has them
}

}  // namespace skep::store
