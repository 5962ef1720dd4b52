#pragma once
// Answers in an SQLite file: the event log's, on a connection of its own. One process's alone. Power loss takes at most
// the last ones, never the order of what was written: an invalidation is no older than the answers it ends.

#include <memory>
#include <string>

#include "base/units.h"
#include "store/answer_table.h"

namespace skep::store {

class SqliteAnswers final : public AnswerTable {
 public:
  // `most`: bytes of answers. A file that another connection keeps locked for longer than a moment is `unavailable`.
  static Result<std::unique_ptr<AnswerTable>> open(const std::string& path, Bytes most);
  ~SqliteAnswers() override;

  Result<std::optional<KeptAnswer>> get(std::string_view key, WallTime now) override;
  Status put(std::vector<KeptAnswer> answers) override;
  Result<uint64_t> invalidate(const std::string& tag) override;
  Status forget(const std::string& tag) override;
  Result<News> news(uint64_t since) override;
  Status keep_house(WallTime now) override;
  [[nodiscard]] bool shared() const override { return false; }

 private:
  struct Impl;
  explicit SqliteAnswers(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::store
