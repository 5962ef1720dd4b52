#pragma once
// Answers in PostgreSQL, shared by all daemons that use the database. Invalidations take their epochs one after another
// (one row's lock), so that whoever has heard of one has heard of all before it, and answers are written under the same
// lock, shared, so that none slips past an invalidation.
//
// A statement may take `limit`; a server that hangs is given up a little later and left alone for a while
// (postgres_connection.h).

#include <chrono>
#include <memory>
#include <string>

#include "base/units.h"
#include "store/answer_table.h"

namespace skep::store {

struct PostgresAnswersOptions {
  std::string url;  // as libpq reads it
  Bytes most = 256_MiB;
  std::chrono::milliseconds limit = std::chrono::seconds(2);
  std::chrono::milliseconds house_limit = std::chrono::seconds(10);  // of what goes through the whole table
};

class PostgresAnswers final : public AnswerTable {
 public:
  // Does not connect yet: a server that is away now may come later.
  explicit PostgresAnswers(PostgresAnswersOptions options);
  ~PostgresAnswers() override;

  Result<std::optional<KeptAnswer>> get(std::string_view key, WallTime now) override;
  Status put(std::vector<KeptAnswer> answers) override;
  Result<uint64_t> invalidate(const std::string& tag) override;
  Status forget(const std::string& tag) override;
  Result<News> news(uint64_t since) override;
  Status keep_house(WallTime now) override;
  [[nodiscard]] bool shared() const override { return true; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::store
