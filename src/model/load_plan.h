#pragma once
// What has to happen before a model can be loaded: nothing, others leave, or never. Pure: takes the ledger and what is
// alive, returns names; residency carries it out and asks again whenever something changed. Who goes is decided by
// scheduling/eviction.h, per device: exact where one device is short, the union of what each needs where several are.

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/ledger.h"

namespace skep::model {

// An engine that is alive and takes memory here.
struct AliveEngine {
  std::string model;
  std::string owner;         // in the ledger
  bool busy = false;         // has leases: may be drained, not unloaded
  bool loading = false;      // can't leave yet
  bool pinned = false;       // stays
  bool leaving = false;      // draining or unloading already
  Duration reload_cost{};    // with the chance what is lost if it goes: see scheduling/eviction.h
  double chance_of_use = 0;  // per visit
};

struct LoadPlan {
  bool start = false;               // it fits now
  std::vector<std::string> unload;  // idle models to unload now
  std::vector<std::string> drain;   // busy models that must end what they do and then leave
  std::optional<Error> never;       // it can't be loaded, with the numbers and the way out
  // None of these: wait for those that are leaving.
};

// `most_alive`: engines at once, the new one included; 0: no such limit.
LoadPlan plan_load(const Ledger& ledger, const std::string& model, const std::vector<Reservation>& needs,
                   const std::vector<AliveEngine>& alive, int most_alive);

// Whom to let go when the ledger is over its capacity: idle ones first; busy ones only when those don't suffice.
LoadPlan plan_relief(const Ledger& ledger, const std::vector<AliveEngine>& alive);

}  // namespace skep::model
