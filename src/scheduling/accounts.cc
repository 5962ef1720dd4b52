#include "scheduling/accounts.h"

#include <cassert>

namespace skep::scheduling {

void Accounts::limit(std::string_view name, Limits limits) {
  Account& account = accounts_[std::string(name)];
  account.own = true;
  if (account.limits.tokens_per_minute != limits.tokens_per_minute) {
    account.bucket.reset();
    if (limits.tokens_per_minute > 0) account.bucket.emplace(limits.tokens_per_minute, TimePoint{});
  }
  account.limits = limits;
}

std::optional<Accounts::Refusal> Accounts::refuses(std::string_view name, double tokens, TimePoint now) const {
  const auto found = accounts_.find(name);
  if (found == accounts_.end()) return std::nullopt;  // nothing running, a full bucket
  const Account& account = found->second;
  if (account.limits.concurrent > 0 && account.in_flight >= account.limits.concurrent) {
    // One of them ends every mean / limit on average.
    const std::chrono::duration<double> wait(account.mean_seconds / account.limits.concurrent);
    return Refusal{false, static_cast<double>(account.limits.concurrent), std::chrono::duration_cast<Duration>(wait)};
  }
  if (account.bucket) {
    const Duration wait = account.bucket->until(tokens, now);
    if (wait > Duration::zero()) return Refusal{true, account.limits.tokens_per_minute, wait};
  }
  return std::nullopt;
}

void Accounts::begin(std::string_view name, double tokens, TimePoint now) {
  if (name.empty()) return;
  auto found = accounts_.find(name);
  if (found == accounts_.end()) {
    forget_idle(now);
    found = accounts_.emplace(std::string(name), Account{.limits = usual_}).first;
    if (usual_.tokens_per_minute > 0) found->second.bucket.emplace(usual_.tokens_per_minute, now);
  }
  Account& account = found->second;
  ++account.in_flight;
  if (account.bucket) account.bucket->take(tokens, now);
}

void Accounts::charge(std::string_view name, double tokens, TimePoint now) {
  const auto found = accounts_.find(name);
  if (found != accounts_.end() && found->second.bucket) found->second.bucket->take(tokens, now);
}

void Accounts::end(std::string_view name, double correction, Duration took, TimePoint now) {
  if (name.empty()) return;
  const auto found = accounts_.find(name);
  assert(found != accounts_.end());
  Account& account = found->second;
  assert(account.in_flight > 0);
  --account.in_flight;
  if (account.bucket) account.bucket->take(correction, now);
  const double sample = seconds(took);
  account.mean_seconds = account.mean_seconds == 0 ? sample : 0.8 * account.mean_seconds + 0.2 * sample;
}

int Accounts::in_flight(std::string_view name) const {
  const auto found = accounts_.find(name);
  return found == accounts_.end() ? 0 : found->second.in_flight;
}

// An account with a full bucket and nothing in flight is as good as a new one. A sweep comes
// after as many new names as it looks at: O(1) amortised.
void Accounts::forget_idle(TimePoint now) {
  if (accounts_.size() < sweep_at_) return;
  std::erase_if(accounts_, [now](const auto& entry) {
    const Account& account = entry.second;
    return !account.own && account.in_flight == 0 && (!account.bucket || account.bucket->full(now));
  });
  sweep_at_ = 2 * accounts_.size() + 64;
}

}  // namespace skep::scheduling
