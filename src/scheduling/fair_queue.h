#pragma once
// Start-time fair queueing (Goyal, Vin and Cheng, 1996) between agents, in units of tokens. Each agent ("flow") has a
// virtual finish tag F of what it was served so far; a flow that has work is ordered by its start tag
//     S = max(V, F)          V: start tag of the last flow served
// and being served `cost` tokens sets F = S + cost / weight. For two flows i, j that have work all the time,
//     |W_i / w_i - W_j / w_j|  <=  c_i / w_i + c_j / w_j      (W: tokens served, w: weight, c: largest cost)
// whatever the arrivals are. A flow that was idle gets no credit for it. Inside a flow: first come, first served.

#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/clock.h"

namespace skep::scheduling {

class FairQueue {
 public:
  using Key = std::pair<TimePoint, uint64_t>;  // submission, task: the order inside a flow

  // O(log n) each. The key must be new / must be there.
  void push(const std::string& flow, double weight, Key key);
  void remove(const std::string& flow, Key key);

  // The first of the flow with the smallest start tag.
  [[nodiscard]] std::optional<Key> front() const;

  // Removes the key and charges its flow. V moves on only if it was the front: one that is taken out of turn (its
  // deadline is at risk) must not push newcomers back.
  void serve(const std::string& flow, Key key, double cost);

  // Charges what was served more (or less, negative) than said before. No effect on a flow that is forgotten.
  void charge(const std::string& flow, double cost);

  [[nodiscard]] bool empty() const { return by_tag_.empty(); }
  [[nodiscard]] size_t flows() const { return flows_.size(); }  // remembered, with work or without

 private:
  struct Flow {
    double finish = 0;
    double start = 0;  // valid while it has work
    double weight = 1;
    std::set<Key> keys;
  };
  using Tag = std::pair<double, Flow*>;
  // Equal tags: the older task first, so that the order never depends on addresses.
  struct Order {
    bool operator()(const Tag& a, const Tag& b) const;
  };

  void enter(Flow& flow);  // into by_tag_, with its start tag as of now
  void leave(Flow& flow);
  void forget_idle();

  std::unordered_map<std::string, Flow> flows_;  // node-based: Flow* stays valid
  std::set<Tag, Order> by_tag_;                  // flows that have work
  double virtual_time_ = 0;
  size_t sweep_at_ = 64;
};

}  // namespace skep::scheduling
