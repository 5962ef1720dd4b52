#include "model/load_plan.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <functional>

namespace skep::model {

namespace {

// A choice among few engines is tried exhaustively; beyond that, by loss per byte.
constexpr size_t kExhaustive = 12;

using Suffices = std::function<bool(const std::vector<const AliveEngine*>& gone)>;

// The set with the least loss that suffices; of equal losses the smaller set. Empty when all together don't suffice.
std::vector<const AliveEngine*> cheapest_set(std::vector<const AliveEngine*> from, const Ledger& ledger,
                                             const Suffices& suffices) {
  if (!suffices(from)) return {};
  if (from.size() > kExhaustive) {
    auto loss_per_byte = [&](const AliveEngine* engine) {
      return engine->loss / static_cast<double>(std::max<int64_t>(1, ledger.reserved_by(engine->owner).count));
    };
    std::ranges::stable_sort(from, {}, loss_per_byte);
    std::vector<const AliveEngine*> chosen;
    for (const AliveEngine* engine : from) {
      chosen.push_back(engine);
      if (suffices(chosen)) break;
    }
    // The cheapest per byte may be too small to matter once a large one is in: leave out what isn't needed.
    for (size_t i = chosen.size(); i-- > 0;) {
      std::vector<const AliveEngine*> fewer = chosen;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (suffices(fewer)) chosen = std::move(fewer);
    }
    return chosen;
  }
  std::vector<const AliveEngine*> best = from;
  double best_loss = 0;
  for (const AliveEngine* engine : from) best_loss += engine->loss;
  for (uint32_t set = 0; set < (1U << from.size()); ++set) {
    std::vector<const AliveEngine*> chosen;
    double loss = 0;
    for (size_t i = 0; i < from.size(); ++i) {
      if ((set >> i & 1U) == 0) continue;
      chosen.push_back(from[i]);
      loss += from[i]->loss;
    }
    bool better = loss < best_loss || (loss == best_loss && chosen.size() < best.size());
    if (better && suffices(chosen)) {
      best = std::move(chosen);
      best_loss = loss;
    }
  }
  return best;
}

std::vector<std::string> owners(const std::vector<const AliveEngine*>& engines) {
  std::vector<std::string> names;
  for (const AliveEngine* engine : engines) names.push_back(engine->owner);
  return names;
}

Error too_large(const Ledger& ledger, const std::string& model, const std::vector<Reservation>& needs,
                const std::vector<Ledger::Shortfall>& missing, bool pinned_in_the_way) {
  std::string numbers;
  for (const Ledger::Shortfall& shortfall : missing) {
    Bytes need;
    for (const Reservation& each : needs) {
      if (each.device == shortfall.device || ledger.books().size() == 1) need += each.total();
    }
    numbers += fmt::format("{}needs {} on {}, at most {} of its {} can be had", numbers.empty() ? "" : "; ",
                           to_string(need), shortfall.device, to_string(need - shortfall.missing),
                           to_string(ledger.capacity(shortfall.device)));
  }
  return {ErrorCode::out_of_memory, fmt::format("model '{}' {}", model, numbers),
          pinned_in_the_way ? "unpin a model, or raise memory.budget"
                            : "raise memory.budget, or take a smaller quantization, context_tokens or sequences"};
}

// Leaves `chosen` in the plan: what is idle goes now, what is busy drains.
void send_away(LoadPlan& plan, const std::vector<const AliveEngine*>& chosen) {
  for (const AliveEngine* engine : chosen) (engine->busy ? plan.drain : plan.unload).push_back(engine->model);
}

}  // namespace

LoadPlan plan_load(const Ledger& ledger, const std::string& model, const std::vector<Reservation>& needs,
                   const std::vector<AliveEngine>& alive, int most_alive) {
  std::vector<const AliveEngine*> leaving, idle, all, stays;
  for (const AliveEngine& engine : alive) {
    assert(engine.model != model);
    if (engine.leaving) {
      leaving.push_back(&engine);
    } else if (engine.pinned) {
      stays.push_back(&engine);
    } else {
      all.push_back(&engine);
      if (!engine.busy && !engine.loading) idle.push_back(&engine);
    }
  }
  auto fits_without = [&](std::vector<const AliveEngine*> gone, bool with_leaving) {
    if (with_leaving) gone.insert(gone.end(), leaving.begin(), leaving.end());
    if (most_alive > 0 && alive.size() - gone.size() >= static_cast<size_t>(most_alive)) return false;
    auto missing = ledger.shortfall(needs, owners(gone));
    return missing && missing->empty();
  };

  LoadPlan plan;
  if (!fits_without(all, true)) {
    std::vector<const AliveEngine*> every = all;
    every.insert(every.end(), leaving.begin(), leaving.end());
    auto missing = ledger.shortfall(needs, owners(every));
    bool pinned_in_the_way = !stays.empty() && [&] {
      every.insert(every.end(), stays.begin(), stays.end());
      auto without_pins = ledger.shortfall(needs, owners(every));
      return without_pins && without_pins->empty();
    }();
    if (!missing) {
      plan.never = missing.error();
    } else if (missing->empty()) {
      plan.never =
          Error{ErrorCode::out_of_memory,
                fmt::format("model '{}' can't be loaded: all {} places are taken by pinned models", model, most_alive),
                "unpin a model, or raise memory.max_loaded"};
    } else {
      plan.never = too_large(ledger, model, needs, *missing, pinned_in_the_way);
    }
    return plan;
  }
  if (fits_without({}, false)) {
    plan.start = true;
    return plan;
  }
  if (fits_without({}, true)) return plan;  // wait for those that leave
  auto suffices = [&](const std::vector<const AliveEngine*>& gone) { return fits_without(gone, true); };
  std::vector<const AliveEngine*> chosen = cheapest_set(idle, ledger, suffices);
  if (chosen.empty()) {
    std::vector<const AliveEngine*> may_leave = all;
    std::erase_if(may_leave, [](const AliveEngine* engine) { return engine->loading; });
    chosen = cheapest_set(std::move(may_leave), ledger, suffices);  // empty: wait for the one that is loading
  }
  send_away(plan, chosen);
  return plan;
}

LoadPlan plan_relief(const Ledger& ledger, const std::vector<AliveEngine>& alive) {
  auto over_without = [&](const std::vector<const AliveEngine*>& gone) {
    Bytes over;
    for (const Ledger::Book& book : ledger.books()) {
      Bytes free = ledger.free(book.device);
      for (const AliveEngine& engine : alive) {
        bool goes = engine.leaving || std::ranges::find(gone, &engine) != gone.end();
        if (goes) free += ledger.reserved_by(engine.owner, book.device);
      }
      over += std::max(Bytes(0), Bytes(0) - free);
    }
    return over;
  };
  auto suffices = [&](const std::vector<const AliveEngine*>& gone) { return over_without(gone) == Bytes(0); };
  LoadPlan plan;
  if (suffices({})) return plan;
  std::vector<const AliveEngine*> idle, all;
  for (const AliveEngine& engine : alive) {
    if (engine.leaving || engine.pinned || engine.loading) continue;
    all.push_back(&engine);
    if (!engine.busy) idle.push_back(&engine);
  }
  std::vector<const AliveEngine*> chosen = cheapest_set(idle, ledger, suffices);
  if (chosen.empty()) chosen = cheapest_set(all, ledger, suffices);
  // Not even all of them suffice (pinned ones outgrew the budget): those that may go, go.
  if (chosen.empty()) chosen = all;
  send_away(plan, chosen);
  return plan;
}

}  // namespace skep::model
