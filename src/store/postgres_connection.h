#pragma once
// libpq with Results: parameters as text, many statements in one pipeline, COPY, a connection that is made again. One
// thread at a time.

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

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

class PgConnection {
 public:
  // `connection` as libpq reads it: postgresql://… or "host=… dbname=…". Connects when it is first needed, so that a
  // server that is away now may come later. `statement_limit`: a statement that takes longer fails; 0: none does.
  explicit PgConnection(std::string connection, std::chrono::milliseconds statement_limit = {});
  // Connects now.
  static Result<PgConnection> open(const std::string& connection);

  // unavailable: the server is away (the next call tries again); conflict, invalid_argument, internal: what it said.
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
  Status ready();
  [[nodiscard]] Error error(const pg_result* result) const;

  std::string where_;
  std::chrono::milliseconds statement_limit_;
  std::unique_ptr<pg_conn, Finish> connection_;
};

// Arrays as PostgreSQL writes them.
std::string pg_array(const std::vector<std::string>& texts);
Result<std::vector<std::string>> parse_pg_array(std::string_view text);

}  // namespace skep::store
