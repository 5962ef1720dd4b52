#pragma once
// Local moves over a partition: join, leave, swap, merge, split, and kicks out of local optima. Every move's gain is
// the exact change of the total value, and a move is made only when it gains, so the total never falls.
//
// What makes it fast: each agent carries the sum of its links into its own coalition, so that what leaving would cost
// is known without looking at its neighbours, and a margin, an upper bound of what its best move would gain, so that
// only agents whose margin became positive are looked at again (a lazy evaluation queue, as in Louvain's algorithm for
// communities; splits and kicks by the chains of Kernighan and Lin, 1970).
//
// A LocalSearch works in a block of ranks [begin, end): it sees no agent outside. Searches of disjoint blocks may run
// on different threads over the same State, as long as no coalition reaches from one block into another. Where some do,
// a confined search leaves those as they are and says which agents it could not do justice to: for a search of the
// whole, afterwards.

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "coalition/links.h"
#include "coalition/partition.h"
#include "coalition/sparse_sums.h"
#include "coalition/value.h"

namespace skep::coalition {

// What all searches share.
struct State {
  const Links* links = nullptr;
  const SetValue* set = nullptr;  // may be null
  std::span<const Agent> ids;     // by rank, for `set`
  std::vector<double> cost;       // cost[n] of a coalition of n, up to agents + 1
  std::vector<double> marginal;   // cost[n + 1] - cost[n]
  Partition partition;
  std::vector<double> set_value;  // by coalition; empty without `set`
  std::vector<uint8_t>
      crosses;  // by coalition, of mark_crossing(): 1 where a member is in another block than the number

  // Everybody alone, nothing known.
  void reset(const Links& rows, const ValueFunction& function, std::span<const Agent> names);
  // v of a coalition, from the sums of links inside.
  [[nodiscard]] double value(Coalition coalition) const;
  [[nodiscard]] double total() const { return total(0, static_cast<Coalition>(partition.agents())); }
  [[nodiscard]] double total(Coalition begin, Coalition end) const;  // of the coalitions with these numbers
  // Finds the coalitions that confined searches of blocks must not touch: first the one, then the other for each
  // block, on any thread.
  void clear_crossing() { crosses.assign(partition.agents(), 0); }
  void mark_crossing(Rank begin, Rank end);
};

class LocalSearch {
 public:
  static constexpr double least_gain = 1e-9;  // below it, rounding could make a search go round in circles

  LocalSearch() = default;

  // Points the search at a block. `effort` bounds the evaluations of single agents; at the bound every loop ends, and
  // what has been reached stays.
  void begin(State& state, Rank begin, Rank end, uint64_t effort);
  // From here on coalitions that cross blocks stay as they are. Of the moves below descend(), merge_around(), settle()
  // and leave() may be used.
  void confine() { confined_ = true; }
  // Agents that were to leave, may have a better place, or were to be settled, beyond what a confined search may touch;
  // with repetitions.
  [[nodiscard]] std::span<const Rank> postponed() const { return postponed_; }
  // Empties the queue and returns who was in it.
  std::vector<Rank> take_queue();

  void add_effort(uint64_t evaluations) { effort_ += evaluations; }
  void wake(Rank agent);   // look at it in the next descend()
  void leave(Rank agent);  // makes it a coalition of its own, whatever that costs
  void descend();          // best single moves (join, leave) until the queue is empty
  // One sweep over the coalitions of `agents`, each: gains > 0 are taken and wake those around.
  void merge_around(std::span<const Rank> agents);
  void split_around(std::span<const Rank> agents);
  void swap_around(std::span<const Rank> agents);
  // Agents of these coalitions that gain by leaving alone leave, until none does; a coalition that is worth less than
  // its members apart dissolves.
  void settle(std::span<const Rank> agents);
  // All of the above on the whole block, to a local optimum.
  void form();
  // Shakes the surroundings of `agent` and searches again; takes it all back unless the total rose.
  void kick(Rank agent, Random& random);

  // What the total would gain by this member of two or more leaving alone.
  [[nodiscard]] double gain_of_leaving(Rank agent);
  [[nodiscard]] double gained() const { return gained_; }  // change of the total since begin()
  [[nodiscard]] uint64_t effort_left() const { return effort_; }
  // An agent of each coalition that changed since clear_touched(), with repetitions.
  [[nodiscard]] std::span<const Rank> touched() const { return touched_; }
  void clear_touched() { touched_.clear(); }

 private:
  struct Step {
    Rank agent;
    Coalition from;
  };

  // Who is queued when an agent moves: nobody; those it left behind; everybody near whose best move may have changed.
  enum class Wakes : uint8_t { none, left, all };

  [[nodiscard]] bool sees(Rank agent) const { return agent - begin_ < end_ - begin_; }
  [[nodiscard]] bool open(Coalition coalition) const { return !confined_ || state_->crosses[coalition] == 0; }
  [[nodiscard]] double marginal(uint32_t size) const { return state_->marginal[size]; }
  [[nodiscard]] double set_with(Coalition coalition, Rank agent);
  [[nodiscard]] double set_of(std::span<const Rank> members);
  double loss_of_leaving(Rank agent);
  Coalition empty_coalition(Rank near) const;
  bool part(Rank agent, Wakes wakes);
  double apply(Rank agent, Coalition to, Wakes wakes);
  void undo_to(size_t length);
  bool improve(Rank agent);
  double chain(Coalition from, Coalition to);
  double set_gain_of_prefix(Coalition from, Coalition to, size_t length);
  double set_gain_of_exchange(Rank a, Rank b);
  bool merge(Coalition coalition);
  bool swap(Coalition coalition);
  void gather(Coalition coalition, std::vector<Rank>& out) const { state_->partition.members(coalition, out); }
  void begin_visits() { visited_.clear(end_ - begin_); }
  bool first_visit(Coalition coalition) { return visited_.add(coalition - begin_); }
  [[nodiscard]] bool settled(Coalition coalition) const;

  State* state_ = nullptr;
  Rank begin_ = 0;
  Rank end_ = 0;
  uint64_t effort_ = 0;
  double gained_ = 0;
  bool confined_ = false;

  std::vector<Rank> queue_;  // a ring; each agent is in it at most once
  size_t queue_front_ = 0;
  size_t queue_length_ = 0;
  SparseSums by_coalition_;
  SparseSums by_agent_;
  SparseSums link_of_;         // weight of one agent's links, by agent
  Marks visited_;              // coalitions that a sweep has been at, less begin_
  std::vector<double> gains_;  // by place in by_coalition_
  std::vector<Rank> woken_;
  std::vector<Rank> members_;
  std::vector<Rank> others_;
  std::vector<Agent> names_;
  bool recording_ = false;
  std::vector<Step> journal_;  // moves to take back, while recording
  std::vector<Rank> touched_;
  std::vector<Rank> postponed_;
};

}  // namespace skep::coalition
