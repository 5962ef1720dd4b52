#pragma once
// libpq with Results: parameters as text, many statements in one pipeline, COPY, a connection that is made again. One
// thread at a time.
//
// No call waits for ever: a server that is stopped, or behind a network that swallows packets, costs the statement's
// limit and a little more (10 s → 12 s), connecting 5 s; then the connection is given up. A server that let us wait is
// left alone for as long as it made us wait (at most 5 s): calls in that time fail at once, so that a queue of them
// does not take a limit each. One that refuses quickly is asked again at every call.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct pg_conn;
struct pg_result;

namespace skep::store {

using PgText = std::optional<std::string>;  // unset: NULL

struct PgStatement {
  std::string sql;
  std::vector<PgText> parameters;  // $1 …
};

class PgRows {
 public:
  explicit PgRows(pg_result* result) : result_(result) {}
  [[nodiscard]] int size() const;
  [[nodiscard]] std::string text(int row, int column) const;  // NULL: empty
  [[nodiscard]] int64_t number(int row, int column) const;
  [[nodiscard]] double real(int row, int column) const;
  [[nodiscard]] bool null(int row, int column) const;
  [[nodiscard]] int64_t affected() const;
  [[nodiscard]] const pg_result* get() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

struct PgOptions {
  std::chrono::milliseconds limit = std::chrono::seconds(10);  // of a statement
  std::vector<std::string> session;  // "SET …", run on every new connection; what the server refuses is left out
};

class PgConnection {
 public:
  // `connection` as libpq reads it: postgresql://… or "host=… dbname=…". Connects when it is first needed, so that a
  // server that is away now may come later.
  explicit PgConnection(std::string connection, PgOptions options = {});
  // Connects now.
  static Result<PgConnection> open(const std::string& connection, PgOptions options = {});

  // The limit of the statements from here on.
  void set_limit(std::chrono::milliseconds limit) { options_.limit = limit; }

  // unavailable: the server is away (the next call tries again); conflict, invalid_argument, internal: what it said.
  // A connection that died while nobody used it is made again first.
  Result<PgRows> run(const PgStatement& statement);
  Status run(const char* several);  // statements without parameters or rows
  // All in one round trip and one transaction: all or none.
  Result<std::vector<PgRows>> run_together(const std::vector<PgStatement>& statements);
  // COPY … FROM STDIN with the rows in its text format: all or none.
  Status copy_in(const std::string& statement, std::string_view rows);

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  using Clock = std::chrono::steady_clock;
  Status ready();
  Status connect();
  [[nodiscard]] bool alive() const;
  [[nodiscard]] Error error(const pg_result* result) const;
  // The next answer (an owner of nullptr: there is none left), or nothing after the deadline.
  Result<PgRows> next_answer();
  Status answers();  // all of them; the first one's error
  Status send_buffered();
  Status wait(bool to_write);
  Status give_up();

  std::string where_;
  PgOptions options_;
  std::unique_ptr<pg_conn, Finish> connection_;
  std::chrono::milliseconds server_limit_{};  // that the server was told
  Clock::time_point deadline_{};              // of the call under way
  Clock::time_point away_until_{};            // until then the server is not asked
  std::optional<Error> away_;                 // why
};

// Arrays as PostgreSQL writes them.
std::string pg_array(const std::vector<std::string>& texts);
Result<std::vector<std::string>> parse_pg_array(std::string_view text);

}  // namespace skep::store
