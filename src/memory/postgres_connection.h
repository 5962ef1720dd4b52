#pragma once
// libpq with Results: parameters as text, many statements in one pipeline, a connection that is made again. One thread.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

struct pg_conn;
struct pg_result;

namespace skep::memory {

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
  static Result<PgConnection> open(const std::string& connection);

  // unavailable: the server is away (the next call tries again); conflict, invalid_argument, internal: what it said.
  Result<PgRows> run(const PgStatement& statement);
  Status run(const char* several);  // statements without parameters or rows
  // All in one round trip and one transaction: all or none.
  Result<std::vector<PgRows>> run_together(const std::vector<PgStatement>& statements);

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  Status ready();
  [[nodiscard]] Error error(const pg_result* result) const;
  std::unique_ptr<pg_conn, Finish> connection_;
};

// Arrays as PostgreSQL writes them.
std::string pg_array(const std::vector<std::string>& texts);
Result<std::vector<std::string>> parse_pg_array(std::string_view text);

}  // namespace skep::memory
