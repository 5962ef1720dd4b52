#include "store/postgres_events.h"

#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <set>

#include "store/postgres_connection.h"

namespace skep::store {
namespace {

constexpr int kMostRows = 10'000;
constexpr std::chrono::minutes kLongWork{5};  // for a day that is written anew
constexpr const char* kColumns =
    "at, kind, agent, model, tier, caller, task, seconds, prompt_tokens, completion_tokens, detail";
constexpr const char* kTable = R"(CREATE TABLE IF NOT EXISTS events (
  at timestamptz NOT NULL, kind text NOT NULL, agent text NOT NULL, model text NOT NULL, tier text NOT NULL,
  caller text NOT NULL, task bigint NOT NULL, seconds double precision NOT NULL, prompt_tokens bigint NOT NULL,
  completion_tokens bigint NOT NULL, detail text NOT NULL) PARTITION BY RANGE (at))";
constexpr const char* kTimeIndex = "CREATE INDEX IF NOT EXISTS events_at ON events USING brin (at)";
constexpr const char* kAgentIndex = "CREATE INDEX IF NOT EXISTS events_agent ON events (agent, at) WHERE agent <> ''";

int64_t us(WallTime time) { return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count(); }

using Day = int64_t;  // since 1970
Day day_of(WallTime time) { return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count(); }

std::string date(Day day, const char* format) {
  std::time_t seconds = day * 86'400;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  size_t size = std::strftime(text, sizeof text, format, &utc);
  return {text, size};
}
std::string partition_of(Day day) { return "events_" + date(day, "%Y%m%d"); }

std::string create_partition(Day day) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS {} PARTITION OF events FOR VALUES FROM ('{} 00:00:00+00') TO ('{} 00:00:00+00')",
      partition_of(day), date(day, "%Y-%m-%d"), date(day + 1, "%Y-%m-%d"));
}

// "2026-11-21 12:00:00.000001+00"
std::string timestamp(int64_t microseconds) {
  Day day = microseconds / 86'400'000'000 - (microseconds % 86'400'000'000 < 0 ? 1 : 0);
  int64_t rest = microseconds - day * 86'400'000'000;
  return fmt::format("{} {:02}:{:02}:{:02}.{:06}+00", date(day, "%Y-%m-%d"), rest / 3'600'000'000,
                     rest / 60'000'000 % 60, rest / 1'000'000 % 60, rest % 1'000'000);
}

// The length of the well-formed UTF-8 sequence that `text` begins with; 0: it begins with none. RFC 3629: no overlong
// forms, no surrogates, nothing beyond U+10FFFF.
size_t utf8_sequence(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return at(i) >= low && at(i) <= high;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool second = follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool second = follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// COPY's text format: tabs, line ends and backslashes escaped. PostgreSQL's text holds no zero byte and well-formed
// UTF-8 alone; an error's words may be cut in mid-character, and become U+FFFD there.
void append_field(std::string& row, std::string_view text) {
  if (!row.empty() && row.back() != '\n') row += '\t';
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    if (length != 1) {
      row += length == 0 ? "\xef\xbf\xbd" : text.substr(0, length);
      text.remove_prefix(std::max<size_t>(length, 1));
      continue;
    }
    const char c = text.front();
    text.remove_prefix(1);
    switch (c) {
      case '\0':
        break;
      case '\\':
        row += "\\\\";
        break;
      case '\t':
        row += "\\t";
        break;
      case '\n':
        row += "\\n";
        break;
      case '\r':
        row += "\\r";
        break;
      default:
        row += c;
    }
  }
}

PgStatement query_for(const EventFilter& filter) {
  PgStatement query;
  auto parameter = [&](std::string value) {
    query.parameters.emplace_back(std::move(value));
    return fmt::format("${}", query.parameters.size());
  };
  query.sql =
      "SELECT (extract(epoch FROM at) * 1000000)::bigint, kind, agent, model, tier, caller, task, seconds, "
      "prompt_tokens, completion_tokens, detail FROM events WHERE true";
  // The bounds are constants to the planner, so that it leaves out partitions before it runs.
  if (filter.since) query.sql += fmt::format(" AND at >= '{}'::timestamptz", timestamp(us(*filter.since)));
  if (filter.until) query.sql += fmt::format(" AND at < '{}'::timestamptz", timestamp(us(*filter.until)));
  if (!filter.kind.empty()) {
    std::string exact = parameter(filter.kind);
    query.sql += fmt::format(" AND (kind = {} OR starts_with(kind, {}))", exact, parameter(filter.kind + "."));
  }
  if (!filter.agent.empty()) query.sql += " AND agent <> '' AND agent = " + parameter(filter.agent);
  if (!filter.model.empty()) query.sql += " AND model = " + parameter(filter.model);
  query.sql += fmt::format(" ORDER BY at {} LIMIT {}", filter.newest_first ? "DESC" : "ASC",
                           std::clamp(filter.limit, 0, kMostRows));
  return query;
}

}  // namespace

struct PostgresEvents::Impl {
  PostgresOptions options;
  PgConnection writer;
  std::set<Day> partitions;  // known to be there

  // The readers: whoever queries takes one, and waits where all are taken.
  std::mutex mutex;
  std::condition_variable free_one;
  std::vector<PgConnection> readers;

  explicit Impl(PostgresOptions o) : options(std::move(o)), writer(options.url, {options.limit, {}}) {
    const std::string& url = options.replica_url.empty() ? options.url : options.replica_url;
    for (int i = 0; i < std::max(options.readers, 1); ++i) readers.emplace_back(url, PgOptions{options.limit, {}});
  }

  Status ensure_partitions(const std::set<Day>& days) {
    std::vector<PgStatement> statements = {{kTable, {}}, {kTimeIndex, {}}, {kAgentIndex, {}}};
    for (Day day : days) {
      if (!partitions.contains(day)) statements.push_back({create_partition(day), {}});
    }
    if (statements.size() == 3) return {};
    SKEP_CHECK(writer.run_together(statements));
    partitions.insert(days.begin(), days.end());
    return {};
  }

  // Partitions by their names, each with a time in it.
  Status write_anew(const PgRows& days) {
    // Of what is empty ANALYZE keeps what it knew; nobody sees the rows that are there meanwhile.
    std::string analyze = "BEGIN; ";
    for (int row = 0; row < days.size(); ++row) {
      analyze +=
          fmt::format("INSERT INTO events VALUES ('{}', '', '', '', '', '', 0, 0, 0, 0, ''); ", days.text(row, 1));
    }
    SKEP_CHECK(writer.run((analyze + "ANALYZE events; DELETE FROM events WHERE kind = ''; COMMIT").c_str()));
    for (int row = 0; row < days.size(); ++row) {
      SKEP_CHECK(writer.run(("VACUUM FULL " + days.text(row, 0)).c_str()));
    }
    return writer.run("VACUUM FULL pg_statistic");
  }

  Result<PgRows> read(const PgStatement& statement) {
    std::unique_lock lock(mutex);
    if (!free_one.wait_for(lock, options.limit, [&] { return !readers.empty(); })) {
      return fail(ErrorCode::overloaded, "postgresql: all connections for queries are busy", "try again");
    }
    PgConnection one = std::move(readers.back());
    readers.pop_back();
    lock.unlock();
    auto rows = one.run(statement);
    lock.lock();
    readers.push_back(std::move(one));
    free_one.notify_one();
    return rows;
  }
};

std::unique_ptr<EventStore> PostgresEvents::make(PostgresOptions options) {
  return std::make_unique<PostgresEvents>(std::move(options));
}

PostgresEvents::PostgresEvents(PostgresOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
PostgresEvents::~PostgresEvents() = default;

Status PostgresEvents::append(const std::vector<Event>& events) {
  std::set<Day> days;
  std::string rows;
  for (const Event& e : events) {
    days.insert(day_of(e.at));
    append_field(rows, timestamp(us(e.at)));
    for (const std::string* field : {&e.kind, &e.agent, &e.model, &e.tier, &e.caller}) append_field(rows, *field);
    append_field(rows, std::to_string(e.task));
    append_field(rows, fmt::format("{}", e.seconds));
    append_field(rows, std::to_string(e.prompt_tokens));
    append_field(rows, std::to_string(e.completion_tokens));
    append_field(rows, e.detail);
    rows += '\n';
  }
  const std::string copy = fmt::format("COPY events ({}) FROM STDIN", kColumns);
  SKEP_CHECK(impl_->ensure_partitions(days));
  Status copied = impl_->writer.copy_in(copy, rows);
  if (copied || copied.error().code == ErrorCode::unavailable) return copied;
  // Somebody may have dropped a partition behind our back.
  impl_->partitions.clear();
  if (copied.error().code != ErrorCode::conflict) return copied;
  SKEP_CHECK(impl_->ensure_partitions(days));
  return impl_->writer.copy_in(copy, rows);
}

Result<std::vector<Event>> PostgresEvents::query(const EventFilter& filter) {
  PgStatement query = query_for(filter);
  SKEP_TRY(const PgRows rows, impl_->read(query));
  std::vector<Event> events(static_cast<size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    Event& e = events[static_cast<size_t>(row)];
    e.at = WallTime(std::chrono::microseconds(rows.number(row, 0)));
    e.kind = rows.text(row, 1);
    e.agent = rows.text(row, 2);
    e.model = rows.text(row, 3);
    e.tier = rows.text(row, 4);
    e.caller = rows.text(row, 5);
    e.task = rows.number(row, 6);
    e.seconds = rows.real(row, 7);
    e.prompt_tokens = rows.number(row, 8);
    e.completion_tokens = rows.number(row, 9);
    e.detail = rows.text(row, 10);
  }
  return events;
}

Result<std::string> PostgresEvents::explain(const EventFilter& filter) {
  PgStatement query = query_for(filter);
  query.sql.insert(0, "EXPLAIN ");
  SKEP_TRY(const PgRows rows, impl_->read(query));
  std::string plan;
  for (int row = 0; row < rows.size(); ++row) plan += rows.text(row, 0) + "\n";
  return plan;
}

Status PostgresEvents::keep_house(WallTime now, Duration retention) {
  impl_->partitions.clear();  // look anew: cheap, and heals what was dropped
  std::set<Day> ahead;
  for (int i = 0; i <= impl_->options.days_ahead; ++i) ahead.insert(day_of(now) + i);
  SKEP_CHECK(impl_->ensure_partitions(ahead));
  SKEP_TRY(const PgRows rows,
           impl_->writer.run({"SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                              "WHERE i.inhparent = 'events'::regclass ORDER BY 1",
                              {}}));
  std::string oldest_kept = partition_of(day_of(now - retention));
  for (int row = 0; row < rows.size(); ++row) {
    const std::string partition = rows.text(row, 0);
    if (partition.size() != oldest_kept.size() || partition >= oldest_kept) continue;
    SKEP_CHECK(impl_->writer.run({"DROP TABLE IF EXISTS " + partition, {}}));
  }
  return {};
}

// The days that had rows of it are written anew: a page keeps the bytes of rows that are dead, and the planner's
// statistics samples of them.
Status PostgresEvents::forget(const std::string& agent) {
  const PgStatement remove{
      "WITH gone AS (DELETE FROM events WHERE agent = $1 AND agent <> '' RETURNING tableoid, at) "
      "SELECT tableoid::regclass::text, min(at)::text FROM gone GROUP BY tableoid",
      {agent}};
  SKEP_CHECK(impl_->writer.run_together({{kTable, {}}}));  // the first one may not have come yet
  SKEP_TRY(const PgRows days, impl_->writer.run(remove));
  if (days.size() == 0) return {};
  impl_->writer.set_limit(kLongWork);
  const Status done = impl_->write_anew(days);
  impl_->writer.set_limit(impl_->options.limit);
  return done;
}

}  // namespace skep::store
