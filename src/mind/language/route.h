#pragma once
// Which model answers. An explicit choice always wins (a model, a tier, an agent with a tier); for `auto` the request's
// complexity decides between the tiers, and free memory, load and what is resident now may move it. Deterministic,
// under a millisecond, and every decision explains itself.

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "mind/language/complexity.h"
#include "mind/language/request.h"
#include "mind/language/tier.h"

namespace skep::language {

struct RouteOptions {
  FactorWeights weights = {0.4, 0.2, 0.2, 0.2};  // in the order of kFactorNames; scaled to sum 1
  double deep_above = 0.8;
  double balanced_above = 0.4;
  Bytes deep_needs_free = 2_GiB;  // free or reclaimable, unless the deep model is resident already
  // This close to a threshold the lower tier answers when its model is resident and the upper one's is not …
  double resident_margin = 0.05;
  // … or when the box is busy: its queue is fuller than this share.
  double busy_load = 0.75;
  double busy_margin = 0.1;
};

// What is true of the box now.
struct TierNow {
  std::string model;  // empty: no model for this tier
  bool resident = false;
};
struct RouteFacts {
  std::array<TierNow, kTiers> tiers;
  Bytes free_memory;  // free plus what idle engines would give back
  double load = 0;    // the queue's length by its limit, 0..1
};

// Who chose, from the most explicit down. At most one of these is set by the caller; none means auto.
struct Choice {
  std::string model;         // a model of the catalog
  std::optional<Tier> tier;  // a tier by name, or the agent's
  bool of_agent = false;     // the tier is the agent's
};

struct Route {
  std::string model;
  std::optional<Tier> tier;  // unset: an explicit model that belongs to no tier
  std::string reason;        // one sentence
  std::string explanation;   // some lines for people: factors, weights, thresholds, what tipped it
  Complexity complexity;     // score 0 for an explicit choice
};

// not_found when no tier that could answer has a model.
Result<Route> route(const Request& request, const Choice& choice, const RouteFacts& facts,
                    const RouteOptions& options = {});

}  // namespace skep::language
