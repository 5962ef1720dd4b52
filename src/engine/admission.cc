// Which waiting sequences get a slot.
#include <algorithm>
#include <cassert>
#include <climits>

#include "engine/generator.h"

namespace skep::engine {
namespace {

constexpr int kCritical = 0;

int common_prefix(std::span<const Token> a, std::span<const Token> b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<int>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first -
                          a.begin());
}

}  // namespace

void Generator::admit() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Sequence& sequence = **it;
    const bool urgent = sequence.request.priority == kCritical;
    const bool any_free = std::find(slot_taken_.begin(), slot_taken_.end(), false) != slot_taken_.end();
    if (!any_free && !urgent) return;
    const auto next = std::next(it);
    const Admission result = try_admit(sequence);
    if (result == Admission::admitted) running_.splice(running_.end(), waiting_, it);
    // Whoever is first waits for cells; smaller ones behind do not overtake it for ever.
    if (result == Admission::full) return;
    it = next;
  }
}

Generator::Admission Generator::try_admit(Sequence& sequence) {
  if (!share_from_running(sequence)) return Admission::later;
  if ((!free_slot() || !fits(sequence)) && !preempt_for(sequence)) return Admission::full;
  const auto slot = free_slot();
  const Scope& scope = sequence.scope;
  // The last token of a prompt is always evaluated: its logits are what comes next.
  auto wanted = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  if (sequence.scores) {  // from its first token on, also after it was suspended
    wanted = {};
    sequence.scores->clear();
  }
  sequence.evaluated = cache_.take(*slot, scope, wanted);
  sequence.cells = sequence.evaluated;
  sequence.slot = slot;
  slot_taken_[static_cast<size_t>(*slot)] = true;
  if (sequence.started == TimePoint{}) {
    sequence.started = clock_.now();
    sequence.cached = std::min(sequence.evaluated, sequence.prompt_tokens);
  }
  return Admission::admitted;
}

// Makes the beginning that `sequence` has in common with a running one known to the cache, or finds that it will be
// known soon (false). Each sequence that another waits for has a slot and goes on in every step, so waiting ends.
bool Generator::share_from_running(const Sequence& sequence) {
  if (!forward_.limits().can_share || sequence.scores) return true;
  const Scope& scope = sequence.scope;
  const auto wanted = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  const int known = cache_.known(scope, wanted);
  Sequence* donor = nullptr;
  int common = known + options_.worth_waiting - 1;
  for (const auto& other : running_) {
    const int most = shareable(scope, other->scope, INT_MAX);
    const int n = most == 0 ? 0 : std::min(most, common_prefix(wanted, other->tokens));
    if (n > common) {
      common = n;
      donor = other.get();
    }
  }
  if (donor == nullptr) return true;
  if (donor->evaluated < common && sequence.request.priority != kCritical) return false;
  const int ready = std::min(common, donor->evaluated);
  cache_.publish(*donor->slot, donor->scope, std::span(donor->tokens).first(static_cast<size_t>(ready)));
  return true;
}

// Are there cells for the whole of it, beside what the running ones may still need?
bool Generator::fits(const Sequence& sequence) {
  if (running_.empty()) return true;  // prepare() saw to it that one alone fits
  int outstanding = 0;
  for (const auto& other : running_) {
    outstanding += other->prompt_tokens + other->room - other->evaluated;
  }
  const int known = cache_.known(sequence.scope, sequence.tokens);
  const int needed = sequence.prompt_tokens + sequence.room - known;
  const int available = cache_.free_cells() + std::max(0, cache_.evictable_cells() - known);
  return needed + outstanding <= available;
}

std::optional<Slot> Generator::free_slot() {
  const auto slot = std::find(slot_taken_.begin(), slot_taken_.end(), false);
  if (slot == slot_taken_.end()) return std::nullopt;
  return static_cast<Slot>(slot - slot_taken_.begin());
}

// A critical request takes the place of the least urgent running sequence, of those the latest admitted.
bool Generator::preempt_for(const Sequence& sequence) {
  if (sequence.request.priority != kCritical) return false;
  while (!free_slot() || !fits(sequence)) {
    Sequence* victim = nullptr;
    for (const auto& other : running_) {
      if (other->request.priority <= kCritical) continue;
      if (victim == nullptr || other->request.priority >= victim->request.priority) victim = other.get();
    }
    if (victim == nullptr) return false;
    suspend(*victim);
    ++preemptions_;
  }
  return true;
}

void Generator::suspend(Sequence& sequence) {
  assert(sequence.slot && sequence.draft == 0 && sequence.cells == sequence.evaluated);
  cache_.suspend(*sequence.slot, sequence.scope, sequence.evaluated_tokens());
  slot_taken_[static_cast<size_t>(*sequence.slot)] = false;
  sequence.slot.reset();
  sequence.evaluated = sequence.cells = 0;  // until take() finds it again
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& s) { return s.get() == &sequence; });
  std::unique_ptr<Sequence> moved = std::move(*at);
  running_.erase(at);
  enqueue(std::move(moved));
}

}  // namespace skep::engine
