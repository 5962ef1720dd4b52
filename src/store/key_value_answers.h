#pragma once
// Answers with a KeyValue: the state store or Redis. One process's alone: the epochs are read once and then known.
//
//   namespace "cache"       key → version 2, stored, expires (µs), seen, tags, value (encoding.h)
//   namespace "cache-tags"  tag → the epoch of its newest invalidation, decimal
//
// Expiry is the KeyValue's own. Bytes are bounded as far as this run wrote them: earlier answers end with their time.
// What no version of ours wrote in an epoch's place ends the trust in all that was written before.

#include <deque>
#include <memory>
#include <unordered_map>

#include "base/units.h"
#include "store/answer_table.h"
#include "store/key_value.h"

namespace skep::store {

class KeyValueAnswers final : public AnswerTable {
 public:
  // Both outlive it.
  KeyValueAnswers(KeyValue& values, const Clock& clock, Bytes most) : values_(values), clock_(clock), most_(most) {}

  Result<std::optional<KeptAnswer>> get(std::string_view key, WallTime now) override;
  Status put(std::vector<KeptAnswer> answers) override;
  Result<uint64_t> invalidate(const std::string& tag) override;
  Status forget(const std::string& tag) override;
  Result<News> news(uint64_t since) override;
  Status keep_house(WallTime) override { return {}; }
  [[nodiscard]] bool shared() const override { return false; }

 private:
  Status load();
  Status note(const std::string& tag, uint64_t epoch);
  [[nodiscard]] bool valid(const KeptAnswer& answer) const;
  Status put_one(const KeptAnswer& answer);

  KeyValue& values_;
  const Clock& clock_;
  Bytes most_;
  bool loaded_ = false;
  uint64_t epoch_ = 0;
  std::unordered_map<std::string, uint64_t> epochs_;     // of tags that were ever invalidated
  std::deque<std::pair<std::string, int64_t>> written_;  // by this run, oldest first: keys and bytes
  int64_t bytes_ = 0;
};

}  // namespace skep::store
