#include "model/load_plan.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <functional>

#include "scheduling/eviction.h"

namespace skep::model {

namespace {

using Engines = std::vector<const AliveEngine*>;

std::vector<std::string> owners(const Engines& engines) {
  std::vector<std::string> names;
  for (const AliveEngine* engine : engines) names.push_back(engine->owner);
  return names;
}

// Adds to `chosen` those of `from` with the least loss whose bytes, by `bytes_of`, come to `needed`. False: too few.
template <typename BytesOf>
bool choose(Engines& chosen, const Engines& from, Bytes needed, const BytesOf& bytes_of) {
  Engines left;
  std::vector<scheduling::Candidate> candidates;
  for (const AliveEngine* engine : from) {
    if (std::ranges::find(chosen, engine) != chosen.end()) {
      needed -= bytes_of(*engine);
      continue;
    }
    if (bytes_of(*engine) <= Bytes(0)) continue;
    left.push_back(engine);
    candidates.push_back({.model = engine->model,
                          .bytes = bytes_of(*engine),
                          .reload_cost = engine->reload_cost,
                          .chance = engine->chance_of_use});
  }
  auto victims = scheduling::choose_victims(candidates, needed);
  if (!victims) return false;
  for (size_t index : *victims) chosen.push_back(left[index]);
  return true;
}

// Those of `from` that must go so that every device has what it is short of, and `places` become free; the dearest
// first are kept where others, chosen for another device, make them unnecessary. Empty: they don't suffice.
Engines choose_all(const Engines& from, const Ledger& ledger, const std::vector<Ledger::Shortfall>& short_of,
                   int places) {
  Engines chosen;
  auto place = [](const AliveEngine&) { return Bytes(1); };
  for (const Ledger::Shortfall& each : short_of) {
    auto on_device = [&](const AliveEngine& engine) { return ledger.reserved_by(engine.owner, each.device); };
    if (!choose(chosen, from, each.missing, on_device)) return {};
  }
  if (places > 0 && !choose(chosen, from, Bytes(places), place)) return {};
  auto suffices = [&](const Engines& gone) {
    if (static_cast<int>(gone.size()) < places) return false;
    return std::ranges::all_of(short_of, [&](const Ledger::Shortfall& each) {
      Bytes freed;
      for (const AliveEngine* engine : gone) freed += ledger.reserved_by(engine->owner, each.device);
      return freed >= each.missing;
    });
  };
  auto loss = [](const AliveEngine* engine) { return seconds(engine->reload_cost) * engine->chance_of_use; };
  Engines dearest_first = chosen;
  std::ranges::stable_sort(dearest_first, std::greater(), loss);
  for (const AliveEngine* engine : dearest_first) {
    Engines fewer = chosen;
    std::erase(fewer, engine);
    if (suffices(fewer)) chosen = std::move(fewer);
  }
  return chosen;
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
                            : "raise memory.budget, or take a smaller quantization, engines.context or engines.slots"};
}

// Leaves `chosen` in the plan: what is idle goes now, what is busy drains.
void send_away(LoadPlan& plan, const Engines& chosen) {
  for (const AliveEngine* engine : chosen) (engine->busy ? plan.drain : plan.unload).push_back(engine->model);
}

}  // namespace

LoadPlan plan_load(const Ledger& ledger, const std::string& model, const std::vector<Reservation>& needs,
                   const std::vector<AliveEngine>& alive, int most_alive) {
  Engines leaving, idle, may_leave, in_time, pinned;  // in_time: that are not pinned, so will or may leave some day
  for (const AliveEngine& engine : alive) {
    assert(engine.model != model);
    if (engine.pinned && !engine.leaving) {
      pinned.push_back(&engine);
      continue;
    }
    in_time.push_back(&engine);
    if (engine.leaving) leaving.push_back(&engine);
    if (engine.leaving || engine.loading) continue;
    may_leave.push_back(&engine);
    if (!engine.busy) idle.push_back(&engine);
  }
  // How many engines too many there are, the new one counted, once `gone` have left.
  auto excess = [&](const Engines& gone) {
    return most_alive <= 0 ? 0 : std::max(0, static_cast<int>(alive.size() - gone.size()) + 1 - most_alive);
  };
  auto missing_without = [&](const Engines& gone) { return ledger.shortfall(needs, owners(gone)); };

  LoadPlan plan;
  auto at_best = missing_without(in_time);
  if (!at_best) {
    plan.never = at_best.error();
  } else if (!at_best->empty()) {
    Engines everyone = in_time;
    everyone.insert(everyone.end(), pinned.begin(), pinned.end());
    plan.never = too_large(ledger, model, needs, *at_best, missing_without(everyone)->empty());
  } else if (excess(in_time) > 0) {
    plan.never =
        Error{ErrorCode::out_of_memory,
              fmt::format("model '{}' can't be loaded: all {} places are taken by pinned models", model, most_alive),
              "unpin a model, or raise engines.max_loaded"};
  }
  if (plan.never) return plan;

  plan.start = missing_without({})->empty() && excess({}) == 0;
  if (plan.start) return plan;
  std::vector<Ledger::Shortfall> missing = *missing_without(leaving);
  int places = excess(leaving);
  if (missing.empty() && places == 0) return plan;  // wait for those that leave
  Engines chosen = choose_all(idle, ledger, missing, places);
  if (chosen.empty()) chosen = choose_all(may_leave, ledger, missing, places);  // none: wait for one that is loading
  send_away(plan, chosen);
  return plan;
}

LoadPlan plan_relief(const Ledger& ledger, const std::vector<AliveEngine>& alive) {
  Engines leaving, idle, may_leave;
  for (const AliveEngine& engine : alive) {
    if (engine.leaving) leaving.push_back(&engine);
    if (engine.leaving || engine.pinned || engine.loading) continue;
    may_leave.push_back(&engine);
    if (!engine.busy) idle.push_back(&engine);
  }
  std::vector<Ledger::Shortfall> over;
  for (const Ledger::Book& book : ledger.books()) {
    Bytes free = ledger.free(book.device);
    for (const AliveEngine* engine : leaving) free += ledger.reserved_by(engine->owner, book.device);
    if (free < Bytes(0)) over.push_back({book.device, Bytes(0) - free});
  }
  LoadPlan plan;
  if (over.empty()) return plan;
  Engines chosen = choose_all(idle, ledger, over, 0);
  if (chosen.empty()) chosen = choose_all(may_leave, ledger, over, 0);
  // Not even all of them suffice (pinned ones outgrew the budget): those that may go, go.
  send_away(plan, chosen.empty() ? may_leave : chosen);
  return plan;
}

}  // namespace skep::model
