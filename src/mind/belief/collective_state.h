#pragma once
// What a population believes as a whole, and each of its groups: maintained incrementally (requirement B4). Only agents
// whose belief moved by more than `threshold` (total variation) since they were last counted, or whose free energy did,
// are counted anew; when more than `full_share` of them moved, everything is computed afresh, which is cheaper then.
// Beliefs that did not change at all since the last update are not looked at: an update costs a few nanoseconds for
// each agent without news.
//
// Bound against the full computation, per group: each agent's counted belief is within `threshold` in total variation
// and its counted free energy within `threshold` nats, so mean free energy is within `threshold`; entropy and
// agreement within error_bound(), from |H(p) - H(q)| <= t ln(S - 1) + h(t) at total variation t (Fannes-Audenaert).

#include <cstdint>
#include <span>
#include <vector>

#include "mind/belief/population.h"

namespace skep::belief {

struct CollectiveSummary {
  size_t agents = 0;
  double free_energy = 0;  // mean, nats
  double entropy = 0;      // mean entropy of the agents' beliefs, nats
  double agreement = 1;    // 1 - Jensen-Shannon divergence of the agents' beliefs / ln(belief states): 1 = all agree
  double activity = 0;     // share of agents whose belief moved by more than the threshold in the last update
};

struct CollectiveOptions {
  double threshold = 0.01;
  double full_share = 0.30;
};

class CollectiveState {
 public:
  // Groups are numbered 0 … groups - 1; every agent starts in group 0.
  CollectiveState(const Population& population, uint32_t groups, CollectiveOptions options = {});

  // Moves an agent; takes effect in the next update. group must exist.
  void assign(uint32_t slot, uint32_t group);
  // After a step of the population. Returns how many agents were counted anew.
  size_t update();
  size_t update_full();

  [[nodiscard]] const CollectiveSummary& whole() const { return whole_; }
  [[nodiscard]] const CollectiveSummary& group(uint32_t g) const { return groups_[g].summary; }
  [[nodiscard]] bool last_was_full() const { return last_was_full_; }
  // Largest possible error of entropy and of agreement against the full computation.
  [[nodiscard]] double error_bound() const;

 private:
  struct Sums {
    double free_energy = 0, entropy = 0;
    size_t agents = 0, moved = 0;
    std::vector<double> belief;  // Σ of beliefs
    CollectiveSummary summary;
  };
  struct Counted {
    uint32_t group = 0;
    bool present = false;
    uint32_t generation = 0;
    uint64_t version = 0;  // of the belief that was last looked at
    double free_energy = 0, entropy = 0;
  };
  void add(Sums& sums, uint32_t slot, double sign) const;
  void count(uint32_t slot);
  void summarise(Sums& sums) const;
  [[nodiscard]] bool moved(uint32_t slot);

  const Population& population_;
  CollectiveOptions options_;
  size_t states_;
  std::vector<Sums> groups_;
  CollectiveSummary whole_;
  std::vector<uint32_t> wanted_group_;
  std::vector<Counted> counted_;
  std::vector<double> counted_belief_;  // capacity × states
  std::vector<double> scratch_;
  std::vector<uint32_t> changed_;
  bool last_was_full_ = false;
};

}  // namespace skep::belief
