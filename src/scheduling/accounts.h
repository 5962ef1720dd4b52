#pragma once
// What callers and agents may use: tokens per minute and tasks at once. One Accounts for callers, one for agents.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "scheduling/quota.h"

namespace skep::scheduling {

// 0: no limit.
struct Limits {
  double tokens_per_minute = 0;  // prompt and answer; up to a minute's worth at once
  int concurrent = 0;            // tasks waiting or running
  friend bool operator==(const Limits&, const Limits&) = default;
};

class Accounts {
 public:
  explicit Accounts(Limits usual) : usual_(usual) {}

  void limit(std::string_view name, Limits limits);  // a bucket starts full

  // What stands in the way of one more task of `tokens`, if anything.
  struct Refusal {
    bool tokens = false;  // else: too many at once
    double limit = 0;
    Duration retry_after{};  // for tokens exactly; for concurrency from how long this account's tasks take, 0: unknown
  };
  [[nodiscard]] std::optional<Refusal> refuses(std::string_view name, double tokens, TimePoint now) const;

  // An empty name has no account.
  void begin(std::string_view name, double tokens, TimePoint now);
  // `correction`: tokens used more (less: negative) than begin() charged. `took`: from submission to the end.
  void end(std::string_view name, double correction, Duration took, TimePoint now);
  void charge(std::string_view name, double tokens, TimePoint now);

  [[nodiscard]] int in_flight(std::string_view name) const;
  [[nodiscard]] size_t size() const { return accounts_.size(); }

 private:
  struct Account {
    Limits limits;
    bool own = false;  // limits of its own: kept for ever
    std::optional<TokenBucket> bucket;
    int in_flight = 0;
    double mean_seconds = 0;  // of a task; 0: none ended yet
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  void forget_idle(TimePoint now);

  Limits usual_;
  std::unordered_map<std::string, Account, Hash, std::equal_to<>> accounts_;
  size_t sweep_at_ = 64;
};

}  // namespace skep::scheduling
