#pragma once
// Answers that outlive the process, for the response cache's lower levels: a key, bytes, tags, and until when they may
// be used. key_value_answers.h keeps them with a KeyValue (the state store, Redis), sqlite_answers.h and
// postgres_answers.h in the event log's database; answer_table_contract.h holds the tests that all of them pass.
//
// Validity. Each invalidation of a tag has a number, its epoch, one higher than the one before. An answer carries the
// epoch that its writer knew when it was made (`seen`), and is an answer as long as none of its tags has a later one:
//
//   epoch   1 ──── 2 (tag "catalogue") ──── 3 (tag "model:fast")
//            │                          │
//            seen 1, "catalogue": gone  seen 2, "catalogue": stands; with "model:fast" besides: gone
//
// So an invalidation costs one row, however many answers it ends; one that was made before it and is written after it
// is refused, whoever writes it; and no clocks of different machines are compared for it. (Expiry does compare them.)
//
// Threads: one at a time. Calls wait for a disk or a network. Failures: unavailable (server gone, disk full: try
// again), corrupt, io, internal.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace skep::store {

struct KeptAnswer {
  std::string key;                // any bytes, at most 64
  std::string value;              // any bytes
  std::vector<std::string> tags;  // any bytes each
  WallTime stored{}, expires{};   // kept to the microsecond
  uint64_t seen = 0;              // the epoch that its writer knew
  friend bool operator==(const KeptAnswer&, const KeptAnswer&) = default;
};

inline constexpr const char* kEveryTag = "*";  // every answer has it
inline constexpr size_t kMostTags = 100'000;   // that were invalidated one by one; beyond that, everything goes

class AnswerTable {
 public:
  virtual ~AnswerTable() = default;

  // nullopt: there is none, it has expired, or was invalidated.
  virtual Result<std::optional<KeptAnswer>> get(std::string_view key, WallTime now) = 0;
  // Replaces what stands there. Those that are invalid already are left out. All or nothing.
  virtual Status put(std::vector<KeptAnswer> answers) = 0;
  // What was written with this tag so far, or will be by those who have not heard of it, is no answer. Gives the epoch.
  virtual Result<uint64_t> invalidate(const std::string& tag) = 0;
  // The same, and the answers themselves leave the table, in a time that goes with its size.
  virtual Status forget(const std::string& tag) = 0;

  struct News {
    uint64_t epoch = 0;             // the newest
    std::vector<std::string> tags;  // invalidated after the epoch asked for; "*" where that is not known any more
  };
  virtual Result<News> news(uint64_t since) = 0;
  // Takes out what has expired, and the next to expire where there are too many bytes. Now and then.
  virtual Status keep_house(WallTime now) = 0;

  // Others may write to it: their invalidations are news. False: it is this process's alone.
  [[nodiscard]] virtual bool shared() const = 0;
};

}  // namespace skep::store
