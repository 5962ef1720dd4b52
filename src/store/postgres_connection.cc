#include "store/postgres_connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace skep::store {
namespace {

constexpr const char* kConnectTimeout = "5";  // seconds
constexpr std::chrono::seconds kLongestAway{5};

// What we wait beyond the statement's limit, for the server's own word that it is over.
std::chrono::milliseconds grace(std::chrono::milliseconds limit) {
  return std::max<std::chrono::milliseconds>(limit / 5, std::chrono::milliseconds(100));
}

// Sends one statement; the values stay alive in `statement`.
bool send(PGconn* connection, const PgStatement& statement) {
  std::vector<const char*> values;
  for (const PgText& p : statement.parameters) values.push_back(p ? p->c_str() : nullptr);
  return PQsendQueryParams(connection, statement.sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                           nullptr, nullptr, 0) == 1;
}

bool good(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

}  // namespace

void PgRows::Clear::operator()(pg_result* result) const { PQclear(result); }
int PgRows::size() const { return PQntuples(result_.get()); }
std::string PgRows::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column), static_cast<size_t>(PQgetlength(result_.get(), row, column))};
}
int64_t PgRows::number(int row, int column) const {
  return std::strtoll(PQgetvalue(result_.get(), row, column), nullptr, 10);
}
double PgRows::real(int row, int column) const { return std::strtod(PQgetvalue(result_.get(), row, column), nullptr); }
bool PgRows::null(int row, int column) const { return PQgetisnull(result_.get(), row, column) == 1; }
int64_t PgRows::affected() const { return std::strtoll(PQcmdTuples(result_.get()), nullptr, 10); }

void PgConnection::Finish::operator()(pg_conn* connection) const { PQfinish(connection); }

PgConnection::PgConnection(std::string connection, PgOptions options)
    : where_(std::move(connection)), options_(std::move(options)) {}

Result<PgConnection> PgConnection::open(const std::string& connection, PgOptions options) {
  PgConnection made(connection, std::move(options));
  SKEP_CHECK(made.ready());
  return made;
}

Error PgConnection::error(const pg_result* result) const {
  const std::string said = result != nullptr ? PQresultErrorMessage(result) : PQerrorMessage(connection_.get());
  const char* state = result != nullptr ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const std::string_view code = state != nullptr ? state : "";
  ErrorCode kind = ErrorCode::internal;
  if (PQstatus(connection_.get()) != CONNECTION_OK || code.starts_with("57P") || code.starts_with("08")) {
    kind = ErrorCode::unavailable;
  } else if (code.starts_with("53")) {
    kind = ErrorCode::overloaded;  // disk full, out of memory
  } else if (code == "57014") {
    kind = ErrorCode::deadline_exceeded;
  } else if (code.starts_with("22") || code.starts_with("54")) {
    kind = ErrorCode::invalid_argument;  // a value, or one that is too large
  } else if (code.starts_with("23")) {
    kind = ErrorCode::conflict;
  }
  return {kind, "postgresql: " + said, {}};
}

// An idle connection has nothing to read, unless the server ended it (or said a word that nobody waits for).
bool PgConnection::alive() const {
  PGconn* c = connection_.get();
  if (PQstatus(c) != CONNECTION_OK) return false;
  pollfd one{PQsocket(c), POLLIN, 0};
  constexpr int kWords = 16;
  for (int i = 0; i<kWords&& ::poll(&one, 1, 0)> 0; ++i) {
    if (PQconsumeInput(c) != 1) return false;
    while (PGnotify* word = PQnotifies(c)) PQfreemem(word);
  }
  return PQstatus(c) == CONNECTION_OK;
}

Status PgConnection::connect() {
  const auto begin = Clock::now();
  if (away_ && begin < away_until_) return fail(*away_);
  const char* names[] = {"dbname", "connect_timeout", "application_name", "client_encoding", nullptr};
  const char* values[] = {where_.c_str(), kConnectTimeout, "skep", "UTF8", nullptr};
  connection_.reset(PQconnectdbParams(names, values, 1));
  if (!connection_ || PQstatus(connection_.get()) != CONNECTION_OK || PQsetnonblocking(connection_.get(), 1) != 0) {
    away_ = Error{ErrorCode::unavailable,
                  fmt::format("postgresql: {}", connection_ ? PQerrorMessage(connection_.get()) : "no memory"),
                  "is the server running, and does the connection string name it?"};
    away_until_ = Clock::now() + std::min<Clock::duration>(Clock::now() - begin, kLongestAway);
    connection_.reset();
    return fail(*away_);
  }
  away_.reset();
  // Notices ("already exists, skipping") are not for stderr.
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  deadline_ = Clock::now() + options_.limit + grace(options_.limit);
  for (const std::string& setting : options_.session) {
    if (PQsendQuery(connection_.get(), setting.c_str()) != 1) return fail(error(nullptr));
    if (const Status set = answers(); !set && set.error().code == ErrorCode::unavailable) return set;
  }
  server_limit_ = std::chrono::milliseconds(0);
  return {};
}

// Connected, with the limit told and the call's time running.
Status PgConnection::ready() {
  if (!connection_ || !alive()) SKEP_CHECK(connect());
  deadline_ = Clock::now() + options_.limit + grace(options_.limit);
  if (server_limit_ == options_.limit) return {};
  const std::string limit = fmt::format("SET statement_timeout = {}", options_.limit.count());
  if (PQsendQuery(connection_.get(), limit.c_str()) != 1) return fail(error(nullptr));
  SKEP_CHECK(answers());
  server_limit_ = options_.limit;
  return {};
}

// What was asked may still be under way there: nothing can be asked on this connection any more, and asking the server
// to stop it would be a call that waits, too. The server's own limit ends it.
Status PgConnection::give_up() {
  connection_.reset();
  away_ = Error{ErrorCode::unavailable,
                fmt::format("postgresql: no answer for {} s",
                            std::chrono::duration<double>(options_.limit + grace(options_.limit)).count()),
                "is the server stopped, or the network down?"};
  away_until_ = Clock::now() + std::min<Clock::duration>(options_.limit, kLongestAway);
  return fail(*away_);
}

// Until there is something to read, or room to write.
Status PgConnection::wait(bool to_write) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
  if (left.count() <= 0) return give_up();
  pollfd one{PQsocket(connection_.get()), static_cast<short>(to_write ? POLLIN | POLLOUT : POLLIN), 0};
  const int ready = ::poll(&one, 1, static_cast<int>(left.count()));
  if (ready < 0 && errno != EINTR) return fail(ErrorCode::internal, "postgresql: poll failed");
  if (ready > 0 && (one.revents & ~POLLOUT) != 0 && PQconsumeInput(connection_.get()) != 1) return fail(error(nullptr));
  return {};
}

Status PgConnection::send_buffered() {
  for (;;) {
    const int unsent = PQflush(connection_.get());
    if (unsent < 0) return fail(error(nullptr));
    if (unsent == 0) return {};
    SKEP_CHECK(wait(true));
  }
}

Result<PgRows> PgConnection::next_answer() {
  for (;;) {
    const int unsent = PQflush(connection_.get());
    if (unsent < 0) return fail(error(nullptr));
    if (PQisBusy(connection_.get()) == 0) return PgRows(PQgetResult(connection_.get()));
    SKEP_CHECK(wait(unsent > 0));
  }
}

Status PgConnection::answers() {
  std::optional<Error> wrong;
  for (;;) {
    SKEP_TRY(const PgRows rows, next_answer());
    if (rows.get() == nullptr) break;
    if (!good(rows.get()) && !wrong) wrong = error(rows.get());
    const bool copying = PQresultStatus(rows.get()) == PGRES_COPY_IN;
    if (copying) connection_.reset();  // left in the middle: it would say so for ever
    if (copying || PQstatus(connection_.get()) != CONNECTION_OK) break;
  }
  if (wrong) return fail(std::move(*wrong));
  return {};
}

Result<PgRows> PgConnection::run(const PgStatement& statement) {
  SKEP_CHECK(ready());
  if (!send(connection_.get(), statement)) return fail(error(nullptr));
  SKEP_TRY(PgRows rows, next_answer());
  if (!good(rows.get())) {
    Error wrong = error(rows.get());
    static_cast<void>(answers());
    return fail(std::move(wrong));
  }
  SKEP_CHECK(answers());
  return rows;
}

Status PgConnection::run(const char* several) {
  SKEP_CHECK(ready());
  if (PQsendQuery(connection_.get(), several) != 1) return fail(error(nullptr));
  return answers();
}

Result<std::vector<PgRows>> PgConnection::run_together(const std::vector<PgStatement>& statements) {
  std::vector<PgRows> all;
  if (statements.empty()) return all;
  SKEP_CHECK(ready());
  PGconn* c = connection_.get();
  if (PQenterPipelineMode(c) != 1) return fail(error(nullptr));
  // Without an explicit transaction a pipeline up to its sync is one. libpq's buffers grow with what is queued, so
  // answers are read in between: at most so many statements are on their way.
  constexpr size_t kAhead = 256;
  std::optional<Error> wrong;
  size_t sent = 0;
  // False: nothing more will come on this connection.
  const auto read_one = [&] {
    auto rows = next_answer();
    if (!rows) {
      if (!wrong || !connection_) wrong = rows.error();
      return false;
    }
    if (!good(rows->get()) && !wrong) wrong = error(rows->get());
    const bool there = rows->get() != nullptr;
    all.push_back(std::move(*rows));
    while (there) {  // up to the mark that ends this statement's answers
      auto more = next_answer();
      if (!more) return wrong = more.error(), false;
      if (more->get() == nullptr) break;
    }
    return PQstatus(c) == CONNECTION_OK;
  };
  bool connected = true;
  for (; connected && sent < statements.size() && !wrong; ++sent) {
    if (!send(c, statements[sent])) {
      wrong = error(nullptr);
      break;
    }
    if (sent + 1 - all.size() >= kAhead) {
      PQsendFlushRequest(c);
      connected = read_one();
    }
  }
  if (connected && PQpipelineSync(c) != 1 && !wrong) wrong = error(nullptr);
  while (connected && all.size() < sent) connected = read_one();
  // The sync's own answer.
  for (int i = 0; connected && i < 4; ++i) {
    auto rows = next_answer();
    if (!rows) {
      connected = false;
      if (!wrong) wrong = rows.error();
      break;
    }
    const ExecStatusType status = PQresultStatus(rows->get());
    if (rows->get() != nullptr && status == PGRES_FATAL_ERROR && !wrong) wrong = error(rows->get());
    if (rows->get() != nullptr && status == PGRES_PIPELINE_SYNC) break;
  }
  // Where leaving fails the connection is in no state that anybody knows: made again.
  if (!connected || PQexitPipelineMode(c) != 1) connection_.reset();
  if (wrong) return fail(std::move(*wrong));
  if (all.size() != statements.size()) return fail(ErrorCode::unavailable, "postgresql: the connection was lost");
  return all;
}

Status PgConnection::copy_in(const std::string& statement, std::string_view rows) {
  SKEP_CHECK(ready());
  PGconn* c = connection_.get();
  if (PQsendQuery(c, statement.c_str()) != 1) return fail(error(nullptr));
  {
    SKEP_TRY(const PgRows begun, next_answer());
    if (PQresultStatus(begun.get()) != PGRES_COPY_IN) {
      Error wrong = error(begun.get());
      static_cast<void>(answers());
      return fail(std::move(wrong));
    }
  }
  constexpr size_t kPart = size_t{1} << 20;
  // 1: taken, 0: no room in the buffers, which are sent then.
  const auto put = [&](auto&& what) -> Status {
    for (;;) {
      const int taken = what();
      if (taken < 0) return fail(error(nullptr));
      SKEP_CHECK(send_buffered());
      if (taken == 1) return {};
    }
  };
  Status sent;
  for (size_t at = 0; at < rows.size() && sent; at += kPart) {
    const std::string_view part = rows.substr(at, kPart);
    sent = put([&] { return PQputCopyData(c, part.data(), static_cast<int>(part.size())); });
  }
  if (sent) sent = put([&] { return PQputCopyEnd(c, nullptr); });
  if (!connection_) return sent;
  const Status taken = answers();
  return taken ? sent : taken;
}

std::string pg_array(const std::vector<std::string>& texts) {
  std::string out = "{";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + "}";
}

Result<std::vector<std::string>> parse_pg_array(std::string_view text) {
  std::vector<std::string> all;
  const auto bad = [&] { return fail(ErrorCode::corrupt, fmt::format("not an array: {}", text)); };
  if (text.size() < 2 || text.front() != '{' || text.back() != '}') return bad();
  const std::string_view inner = text.substr(1, text.size() - 2);
  for (size_t i = 0; i < inner.size();) {
    std::string one;
    if (inner[i] == '"') {
      for (++i; i < inner.size() && inner[i] != '"'; ++i) {
        if (inner[i] == '\\') ++i;
        if (i == inner.size()) return bad();
        one += inner[i];
      }
      if (i == inner.size()) return bad();
      ++i;
    } else {
      while (i < inner.size() && inner[i] != ',') one += inner[i++];
    }
    all.push_back(std::move(one));
    if (i < inner.size() && inner[i++] != ',') return bad();
  }
  return all;
}

}  // namespace skep::store
