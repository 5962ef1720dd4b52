#include "store/postgres_connection.h"

#include <libpq-fe.h>

#include <cstdlib>

namespace skep::store {
namespace {

constexpr const char* kConnectTimeout = "5";  // seconds

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

PgConnection::PgConnection(std::string connection, std::chrono::milliseconds statement_limit)
    : where_(std::move(connection)), statement_limit_(statement_limit) {}

Result<PgConnection> PgConnection::open(const std::string& connection) {
  PgConnection made(connection);
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
  } else if (code.starts_with("22")) {
    kind = ErrorCode::invalid_argument;
  } else if (code.starts_with("23")) {
    kind = ErrorCode::conflict;
  }
  return {kind, "postgresql: " + said, {}};
}

Status PgConnection::ready() {
  if (connection_ && PQstatus(connection_.get()) == CONNECTION_OK) return {};
  const std::string options = fmt::format("-c statement_timeout={}", statement_limit_.count());
  const char* names[] = {"dbname", "connect_timeout", "application_name", "client_encoding", "options", nullptr};
  const char* values[] = {where_.c_str(), kConnectTimeout, "skep", "UTF8", options.c_str(), nullptr};
  connection_.reset(PQconnectdbParams(names, values, 1));
  if (!connection_ || PQstatus(connection_.get()) != CONNECTION_OK) {
    return fail(ErrorCode::unavailable,
                fmt::format("postgresql: {}", connection_ ? PQerrorMessage(connection_.get()) : "no memory"),
                "is the server running, and does the connection string name it?");
  }
  // Notices ("already exists, skipping") are not for stderr.
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  return {};
}

Result<PgRows> PgConnection::run(const PgStatement& statement) {
  SKEP_CHECK(ready());
  std::vector<const char*> values;
  for (const PgText& p : statement.parameters) values.push_back(p ? p->c_str() : nullptr);
  PGresult* result = PQexecParams(connection_.get(), statement.sql.c_str(), static_cast<int>(values.size()), nullptr,
                                  values.data(), nullptr, nullptr, 0);
  PgRows rows(result);
  if (!good(result)) return fail(error(result));
  return rows;
}

Status PgConnection::run(const char* several) {
  SKEP_CHECK(ready());
  PGresult* result = PQexec(connection_.get(), several);
  const PgRows rows(result);
  if (!good(result)) return fail(error(result));
  return {};
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
  const auto read_one = [&] {
    PGresult* result = PQgetResult(c);
    PgRows rows(result);
    if (!good(result) && !wrong) wrong = error(result);
    all.push_back(std::move(rows));
    if (result != nullptr) {
      while (PGresult* more = PQgetResult(c)) PQclear(more);
    }
  };
  for (; sent < statements.size() && !wrong; ++sent) {
    if (!send(c, statements[sent])) {
      wrong = error(nullptr);
      break;
    }
    if (sent + 1 - all.size() >= kAhead) {
      PQsendFlushRequest(c);
      PQflush(c);
      read_one();
    }
  }
  if (PQpipelineSync(c) != 1 && !wrong) wrong = error(nullptr);
  while (all.size() < sent && PQstatus(c) == CONNECTION_OK) read_one();
  // The sync's own answer.
  for (int i = 0; i < 4 && PQstatus(c) == CONNECTION_OK; ++i) {
    PGresult* result = PQgetResult(c);
    const bool synced = result != nullptr && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    if (result != nullptr && PQresultStatus(result) == PGRES_FATAL_ERROR && !wrong) wrong = error(result);
    PQclear(result);
    if (synced) break;
  }
  // Where leaving fails the connection is in no state that anybody knows: made again.
  if (PQexitPipelineMode(c) != 1 || (wrong && wrong->code == ErrorCode::unavailable)) PQreset(c);
  if (wrong) return fail(std::move(*wrong));
  if (all.size() != statements.size()) return fail(ErrorCode::unavailable, "postgresql: the connection was lost");
  return all;
}

Status PgConnection::copy_in(const std::string& statement, std::string_view rows) {
  SKEP_CHECK(ready());
  PGconn* c = connection_.get();
  {
    PGresult* begun = PQexec(c, statement.c_str());
    const PgRows owner(begun);
    if (PQresultStatus(begun) != PGRES_COPY_IN) return fail(error(begun));
  }
  constexpr size_t kPart = size_t{1} << 20;
  bool sent = true;
  for (size_t at = 0; at < rows.size() && sent; at += kPart) {
    const std::string_view part = rows.substr(at, kPart);
    sent = PQputCopyData(c, part.data(), static_cast<int>(part.size())) == 1;
  }
  sent = sent && PQputCopyEnd(c, nullptr) == 1;
  std::optional<Error> wrong;
  if (!sent) wrong = error(nullptr);
  while (PGresult* result = PQgetResult(c)) {
    const PgRows owner(result);
    if (!good(result) && !wrong) wrong = error(result);
    if (PQstatus(c) != CONNECTION_OK) break;
  }
  if (wrong) return fail(std::move(*wrong));
  return {};
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
