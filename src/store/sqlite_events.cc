#include "store/sqlite_events.h"

#include <algorithm>
#include <mutex>

#include "store/sqlite_database.h"

namespace skep::store {
namespace {

constexpr std::chrono::milliseconds kBusy{5'000};
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

}  // namespace

struct SqliteEvents::Impl {
  Impl(SqliteConnection w, SqliteConnection r, Bytes m) : writer(std::move(w)), reader(std::move(r)), most(m) {}
  SqliteConnection writer, reader;
  Bytes most;
  std::mutex reading;

  Status insert(const std::vector<Event>& events);
  int64_t number(const char* pragma) {
    SqliteStatement s(writer, pragma);
    return s && s.step() == SQLITE_ROW ? s.integer(0) : 0;
  }
  // In use, the pages aside that wait to be used again.
  Bytes size() {
    return Bytes((number("PRAGMA page_count") - number("PRAGMA freelist_count")) * number("PRAGMA page_size"));
  }
  Status make_room();
};

Result<std::unique_ptr<EventStore>> SqliteEvents::open(const std::string& path, Bytes most) {
  SKEP_TRY(SqliteConnection writer, SqliteConnection::open(path, kBusy));
  SKEP_TRY(SqliteConnection reader, SqliteConnection::open(path, kBusy));
  SKEP_CHECK(writer.run(kSchema));
  auto impl = std::make_unique<Impl>(std::move(writer), std::move(reader), most);
  return std::unique_ptr<EventStore>(new SqliteEvents(std::move(impl)));
}

SqliteEvents::SqliteEvents(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteEvents::~SqliteEvents() = default;

Status SqliteEvents::Impl::insert(const std::vector<Event>& events) {
  SqliteStatement insert(writer, fmt::format("INSERT INTO events ({}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", kColumns));
  if (!insert) return fail(writer.error());
  for (const Event& e : events) {
    insert.bind(us(e.at)).bind(e.kind).bind(e.agent).bind(e.model).bind(e.tier).bind(e.caller).bind(e.task);
    insert.bind(e.seconds).bind(e.prompt_tokens).bind(e.completion_tokens).bind(e.detail);
    if (insert.step() != SQLITE_DONE) return fail(writer.error());
    insert.reset();
  }
  return {};
}

// The file keeps its size; the room is for what comes.
Status SqliteEvents::Impl::make_room() {
  constexpr int kRounds = 16;  // of an append, that it takes a bounded time
  for (int i = 0; i < kRounds && size() > most; ++i) {
    SqliteStatement remove(writer, "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events ORDER BY at LIMIT ?)");
    if (!remove) return fail(writer.error());
    remove.bind(int64_t{kDeleteAtOnce});
    if (remove.step() != SQLITE_DONE) return fail(writer.error());
    if (sqlite3_changes(writer.get()) == 0) break;
  }
  return {};
}

Status SqliteEvents::append(const std::vector<Event>& events) {
  SKEP_CHECK(impl_->make_room());
  return impl_->writer.transaction([&] { return impl_->insert(events); });
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
  SqliteStatement select(impl_->reader, text);
  if (!select) return fail(impl_->reader.error());
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
  if (code != SQLITE_DONE) return fail(impl_->reader.error());
  return events;
}

Status SqliteEvents::keep_house(WallTime now, Duration retention) {
  for (;;) {
    SqliteStatement remove(
        impl_->writer, "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE at < ? ORDER BY at LIMIT ?)");
    if (!remove) return fail(impl_->writer.error());
    remove.bind(us(now - retention)).bind(int64_t{kDeleteAtOnce});
    if (remove.step() != SQLITE_DONE) return fail(impl_->writer.error());
    if (sqlite3_changes(impl_->writer.get()) < kDeleteAtOnce) return {};
  }
}

Status SqliteEvents::forget(const std::string& agent) {
  if (agent.empty()) return {};  // nobody's
  SqliteStatement remove(impl_->writer, "DELETE FROM events WHERE agent = ? AND agent <> ''");
  if (!remove) return fail(impl_->writer.error());
  remove.bind(agent);
  if (remove.step() != SQLITE_DONE) return fail(impl_->writer.error());
  remove.reset();
  return impl_->writer.run("PRAGMA wal_checkpoint(TRUNCATE)");  // the write-ahead log still has them
}

}  // namespace skep::store
