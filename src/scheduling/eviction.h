#pragma once
// Which engines make room. Keeping one until its next use, `distance` visits away, occupies its bytes for so long and
// saves one reload; so what is kept is worth
//     value = reload cost * chance of next use / bytes,      chance = 1 / distance   (per visit)
// and the set that is given up is the one with the least loss (the sum of reload cost * chance) that frees enough
// bytes. Where to take the distance from: next_use.h, and the queue, which is certain. Pure functions.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/units.h"

namespace skep::scheduling {

// An engine that may be evicted: not generating, not pinned (the caller leaves those out).
struct Candidate {
  std::string model;
  Bytes bytes;             // that its end frees
  Duration reload_cost{};  // measured or estimated
  double chance = 0;       // of use per visit, 0..1: chance_of_use()
};

// `distance`: NextUse::distance(). `queued`: how many waiting tasks start before the first one for this model; unset:
// none waits. `queue_visits`: visits that the whole queue will take. What waits is certain and comes first.
double chance_of_use(double distance, std::optional<int> queued, int queue_visits);

// Seconds of loading per visit and GiB that keeping it saves.
double value(const Candidate& candidate);

// Indexes of the candidates to evict so that `needed` bytes become free, least value first; nothing where all of them
// together are too small. Exact up to kExactCandidates; beyond, the least valuable ones are given up one by one and
// then those that were not needed are kept.
constexpr size_t kExactCandidates = 16;
std::optional<std::vector<size_t>> choose_victims(std::span<const Candidate> candidates, Bytes needed);

}  // namespace skep::scheduling
